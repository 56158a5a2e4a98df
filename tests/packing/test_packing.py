"""What is packed holds all it needs, says what it is, and is read by this package and by ESPnet alone."""

import argparse
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
import yaml
from joint_configuration import joint_settings, save_experiment
from stock import FROM_PRETRAINED
from tiny_architectures import save_hub_model

from espnet_plugins.bin import pack as program
from espnet_plugins.compat import HUGGINGFACE_COUNTS_FRAMES
from espnet_plugins.inference import Enhancer, Recognizer
from espnet_plugins.inference.published import PUBLISHED, front_end_of
from espnet_plugins.packing import Card, Source, UploadError, pack_model, packed_files, upload_packed
from espnet_plugins.tasks import EnhTask, default_config

CARD = Card("A model", sources=[Source("a corpus", "CC BY 4.0")], results="| system | WER |\n|---|---|\n| this | 1.0 |")


def settings_of(path):
    with zipfile.ZipFile(path) as archive:
        return yaml.safe_load(archive.read("exp/config.yaml"))


def text_of(path, name):
    with zipfile.ZipFile(path) as archive:
        return archive.read(name).decode()


def test_a_joint_model_over_an_upstream_of_this_repository(make_upstream, tmp_path, speech):
    """It takes its SSL model along, forgets where it was trained, and is read where nothing of that is left."""
    upstream = tmp_path / "was here" / "ssl.pt"
    upstream.parent.mkdir()
    upstream.write_bytes(make_upstream().read_bytes())
    settings = joint_settings({"model": "local", "checkpoint": str(upstream)}, criterion="ssl_soft_dtw")
    settings["train_data_path_and_name_and_type"] = [[str(tmp_path / "wav.scp"), "speech", "sound"]]
    settings["token_list"] = [*settings["token_list"][:-1], "/", "<sos/eos>"]
    save_experiment(settings, tmp_path / "model")
    folder = tmp_path / "with a blank"
    words = Recognizer.from_checkpoint(tmp_path / "model")(speech, 16000)
    (tmp_path / "RESULTS.md").write_text("# Results\n")
    packed = pack_model(tmp_path / "model", folder / "m.zip", card=CARD, beside={"RESULTS.md": tmp_path / "RESULTS.md"})
    assert (packed.kind, packed.stock) == ("joint", False)
    assert "SSL models from Hugging Face" in packed.notes[0]
    assert [path.name for path in folder.iterdir()] == ["m.zip"]
    names = {name for name, _ in packed_files(packed.path)}
    assert names == {"meta.yaml", "README.md", "RESULTS.md", "exp/config.yaml", "exp/model.pth", "exp/upstream.pt"}
    found = settings_of(packed.path)
    assert str(tmp_path) not in str(found)
    assert found["frontend_conf"]["upstream"]["checkpoint"] == "exp/upstream.pt"
    assert found["enh_criterions"] is None
    assert "/" in found["token_list"]
    expected = Enhancer.from_checkpoint(tmp_path / "model")(speech, 16000)
    front_end = pack_model(tmp_path / "model", folder / "enh.zip", card=CARD, front_end=True)
    assert (front_end.kind, front_end.stock) == ("enh", True)
    upstream.unlink()
    (tmp_path / "model").rename(tmp_path / "gone")
    cache = tmp_path / "cache"
    assert Recognizer.from_pretrained(packed.path, cache=cache)(speech, 16000) == words
    for path in (packed.path, front_end.path):
        np.testing.assert_array_equal(Enhancer.from_pretrained(path, cache=cache)(speech, 16000), expected)
    card = text_of(packed.path, "README.md")
    for part in ("license: other", "# A model", "| a corpus | CC BY 4.0 |", "| this | 1.0 |", "the package is needed"):
        assert part in card
    assert "SeparateSpeech.from_pretrained" in text_of(front_end.path, "README.md")


def test_espnet_alone_reads_what_is_packed(tmp_path, speech):
    """The recognizer's SSL model is a folder in the file where this ESPnet has a front-end for it."""
    settings = joint_settings({}, criterion="si_snr", frontend="default")
    if HUGGINGFACE_COUNTS_FRAMES:
        pytest.importorskip("transformers")
        hub_model = tmp_path / "hub" / "model"
        save_hub_model(hub_model, layers=2)
        settings = joint_settings({"model": "huggingface", "checkpoint": str(hub_model)}, criterion="si_snr")
        settings["frontend_conf"]["layer"] = -1
    save_experiment(settings, tmp_path / "model")
    packed = {}
    for name in ("front_end", "joint"):
        packed[name] = pack_model(
            tmp_path / "model", tmp_path / f"{name}.zip", card=CARD, front_end=name == "front_end"
        )
        assert packed[name].stock
    enhanced = Enhancer.from_checkpoint(tmp_path / "model")(speech, 16000)
    words = Recognizer.from_checkpoint(tmp_path / "model", beam_size=5)(speech, 16000)
    (tmp_path / "model").rename(tmp_path / "gone")
    if HUGGINGFACE_COUNTS_FRAMES:
        hub_model.rename(tmp_path / "gone hub")
    np.save(tmp_path / "speech.npy", speech)
    given = [packed["front_end"].path, packed["joint"].path, tmp_path / "cache", tmp_path / "speech.npy"]
    command = [sys.executable, "-W", "ignore", "-c", FROM_PRETRAINED, *map(str, given), str(tmp_path / "found.npz")]
    environment = {**os.environ, "HOME": str(tmp_path / "home")}  # where ESPnet unpacks
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path, env=environment)
    assert result.returncode == 0, result.stderr[-3000:]
    found = np.load(tmp_path / "found.npz")
    np.testing.assert_allclose(found["enhanced"], enhanced, atol=1e-4)
    assert str(found["words"]) == words


def test_the_program_packs_a_front_end_of_this_package(tmp_path, speech, capsys):
    settings = {**default_config(EnhTask), **front_end_of(PUBLISHED["dns48"]), "criterions": None, "init": None}
    settings["separator_conf"] = {"hidden": 4, "depth": 2}
    model = EnhTask.build_model(argparse.Namespace(**settings))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.yaml").write_text(yaml.safe_dump(settings))
    torch.save(model.state_dict(), tmp_path / "model" / "model.pth")
    (tmp_path / "model" / "LICENSE").write_text("keep this\n")
    out = tmp_path / "m.zip"
    words = [str(tmp_path / "model"), "--out", str(out), "--title", "Tiny Demucs", "--source", "x: y: CC0-1.0"]
    program.main([*words, "--license", "mit"])
    assert "note: for this package alone: separator 'demucs'" in capsys.readouterr().out
    assert text_of(out, "LICENSE") == "keep this\n"
    assert "| x: y | CC0-1.0 |" in text_of(out, "README.md")
    assert "license: mit" in text_of(out, "README.md")
    expected = Enhancer.from_checkpoint(tmp_path / "model")(speech, 16000)
    np.testing.assert_array_equal(Enhancer.from_pretrained(out, cache=tmp_path / "cache")(speech, 16000), expected)
    before = out.read_bytes()
    for wrong, message in (
        (["--source", "CC0"], "is no NAME: LICENSE"),
        (["--results", str(tmp_path / "no.md")], "no.md"),
        (["--upload_repo", "no owner"], "is no name of a repository"),
        (["--out", str(tmp_path / "m.tar")], "ends in .zip"),
    ):
        with pytest.raises(SystemExit):
            program.main([*words, *wrong])
        assert message in capsys.readouterr().err
    assert out.read_bytes() == before


def test_upload(tmp_path, monkeypatch):
    """All files of the archive go to a repository that nobody else sees yet; what fails is one line."""
    hub = pytest.importorskip("huggingface_hub")
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        for name in ("meta.yaml", "README.md", "exp/model.pth"):
            archive.writestr(name, name)
    sent = {}

    def upload_folder(self, *, repo_id, folder_path, commit_message):
        for folder, _, names in os.walk(folder_path):
            for name in names:
                sent[os.path.relpath(os.path.join(folder, name), folder_path)] = repo_id

    made = []
    monkeypatch.setattr(hub.HfApi, "create_repo", lambda self, name, **options: made.append((name, options)))
    monkeypatch.setattr(hub.HfApi, "upload_folder", upload_folder)
    assert upload_packed(tmp_path / "m.zip", "me/model") == "https://huggingface.co/me/model"
    assert made == [("me/model", {"private": True, "exist_ok": True})]
    assert sent == dict.fromkeys(("meta.yaml", "README.md", "exp/model.pth"), "me/model")

    def refuse(self, name, **options):
        raise OSError("401\n unauthorized")

    monkeypatch.setattr(hub.HfApi, "create_repo", refuse)
    with pytest.raises(UploadError, match=r"me/model: not uploaded \(401 unauthorized\); a token"):
        upload_packed(tmp_path / "m.zip", "me/model")
    (tmp_path / "other.zip").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="no packed model"):
        upload_packed(tmp_path / "other.zip", "me/model")
