"""Finding a model's files: moved experiments, files of other kinds."""

import re
import shutil

import pytest
import soundfile
import torch
import yaml

from espnet_plugins.bin import enhance, export, recognize
from espnet_plugins.inference import Recognizer
from espnet_plugins.inference.experiment import find_experiment

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


@pytest.fixture
def moved_folder(joint_folder, tmp_path):
    """The joint training and its upstream on another disk; gives the folder, the upstream's old place and the new."""
    settings = yaml.safe_load((joint_folder / "config.yaml").read_text())
    old = settings["frontend_conf"]["upstream"]["checkpoint"]
    new = tmp_path / "new disk" / "tiny.pt"
    new.parent.mkdir()
    shutil.copy(old, new)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.pth").symlink_to(joint_folder / "model.pth")
    text = (joint_folder / "config.yaml").read_text().replace(old, "/old/exp/ssl/tiny.pt")
    (folder / "config.yaml").write_text(text)
    return folder, "/old/exp/ssl", str(new.parent)


def test_a_moved_experiment_is_used_by_the_remedy_that_its_error_names(
    moved_folder, joint_folder, tmp_path, speech, capsys
):
    folder, old, new = moved_folder
    soundfile.write(tmp_path / "a.wav", speech, 16000)
    command = [str(folder), str(tmp_path / "a.wav"), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as stop:
        recognize.main(command)
    assert stop.value.code == 1
    message = capsys.readouterr().err
    assert "names /old/exp/ssl/tiny.pt: no such file from here" in message
    assert "--moved OLD=NEW" in message
    recognize.main([*command, "--moved", f"{old}={new}"])
    waveform, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    expected = Recognizer.from_checkpoint(joint_folder)(waveform, rate)
    assert (tmp_path / "out" / "a.txt").read_text() == f"{expected}\n"
    assert Recognizer.from_checkpoint(folder, moved={old: new})(waveform, rate) == expected


@pytest.mark.parametrize("text", ["old", "=new", "old="])
def test_a_move_names_both_places(text, tmp_path, capsys):
    with pytest.raises(SystemExit):
        recognize.main(["model", "a.wav", "--out", str(tmp_path), "--moved", text])
    assert "is not OLD=NEW" in capsys.readouterr().err


def test_only_whole_beginnings_are_moved(moved_folder):
    folder, old, _ = moved_folder
    settings = find_experiment(folder, moved={old[:-1]: "/wrong", f"{old}/": "/right/"}).settings
    assert settings["frontend_conf"]["upstream"]["checkpoint"] == "/right/tiny.pt"
    assert settings["enh_criterions"][0]["conf"]["upstream"]["checkpoint"] == "/right/tiny.pt"


@pytest.mark.parametrize("program", [enhance, recognize, export])
def test_files_of_other_kinds_are_named(program, joint_folder, tmp_path, capsys):
    def message(model):
        inputs = [] if program is export else [str(tmp_path / "a.wav")]
        with pytest.raises(SystemExit) as stop:
            program.main([str(model), *inputs, "--out", str(tmp_path / "out")])
        assert stop.value.code == 1
        return capsys.readouterr().err

    (tmp_path / "a.wav").write_bytes(b"")
    hub = tmp_path / "hub"
    hub.mkdir()
    (hub / "config.json").write_text('{"model_type": "hubert"}')
    (hub / "model.safetensors").write_bytes(b"")
    assert "is a Hugging Face model (hubert)" in message(hub)
    folder = tmp_path / "pointers"
    folder.mkdir()
    (folder / "config.yaml").write_text("separator: tcn\n")
    (folder / "model.pth").write_text(POINTER)
    assert "model.pth is a git-LFS pointer, not the file itself: run `git lfs pull`" in message(folder)
    (folder / "model.pth").write_bytes((joint_folder / "model.pth").read_bytes())
    (folder / "config.yaml").write_text(POINTER)
    assert "config.yaml is a git-LFS pointer" in message(folder)
    for damaged in (b"\xff\xfe: [", b"encoder: 2020-99-99", b"encoder: " + 5000 * b"9"):
        (folder / "config.yaml").write_bytes(damaged)
        assert "config.yaml is no configuration" in message(folder)
    assert not (tmp_path / "out").exists()


def _without_one(weights):
    weights.pop("s2t_model.ctc.ctc_lo.bias")


def _misshapen(weights):
    weights["s2t_model.ctc.ctc_lo.bias"] = torch.zeros(3)


def _not_finite(weights):
    weights["s2t_model.ctc.ctc_lo.bias"][0] = torch.inf


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_without_one, r"does not fit its config\.yaml: missing s2t_model\.ctc\.ctc_lo\.bias"),
        (_misshapen, r"does not fit its config\.yaml: misshapen s2t_model\.ctc\.ctc_lo\.bias"),
        (_not_finite, r"does not fit its config\.yaml: not finite s2t_model\.ctc\.ctc_lo\.bias"),
        (None, r"cannot be read as weights"),
    ],
)
def test_a_recognizers_weights_that_do_not_fit_are_named(joint_folder, tmp_path, speech, capsys, edit, message):
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(joint_folder / "config.yaml", folder)
    weights = torch.load(joint_folder / "model.pth", weights_only=True)
    if edit is None:
        (folder / "model.pth").write_bytes((joint_folder / "model.pth").read_bytes()[:-2000])
    else:
        edit(weights)
        torch.save(weights, folder / "model.pth")
    soundfile.write(tmp_path / "a.wav", speech, 16000)
    with pytest.raises(SystemExit) as stop:
        recognize.main([str(folder), str(tmp_path / "a.wav"), "--out", str(tmp_path / "out")])
    assert stop.value.code == 1
    (error,) = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert str(folder / "model.pth") in error
    assert re.search(message, error)


def test_a_transcript_of_no_numbers_is_none(joint_folder, tmp_path, speech, capsys, monkeypatch):
    """Whichever hypothesis would be as good as any other."""
    whole = Recognizer.from_checkpoint.__func__

    def broken(cls, *args, **options):
        made = whole(cls, *args, **options)
        made.decode.asr_model.s2t_model.ctc.ctc_lo.bias.data.fill_(torch.nan)
        return made

    monkeypatch.setattr(Recognizer, "from_checkpoint", classmethod(broken))
    soundfile.write(tmp_path / "a.wav", speech, 16000)
    with pytest.raises(SystemExit) as stop:
        recognize.main([str(joint_folder), str(tmp_path / "a.wav"), "--out", str(tmp_path / "out")])
    assert stop.value.code == 1
    assert f"{tmp_path / 'a.wav'}: not recognized" in capsys.readouterr().err
    assert not (tmp_path / "out" / "a.txt").exists()
