"""Published weights become an ESPnet model: what is checked, what is written, what uses it."""

import dataclasses
import hashlib
import re
import sys
import types

import numpy as np
import pytest
import soundfile
import torch
from gtcrn_cases import to_authors_layout
from joint_configuration import joint_settings, parse_settings
from places import SHARED

from espnet_plugins.bin import enhance, import_denoiser, import_enhancer
from espnet_plugins.enh.demucs import Demucs
from espnet_plugins.enh.gtcrn import GTCRN
from espnet_plugins.inference import Enhancer
from espnet_plugins.inference import published as models
from espnet_plugins.tasks import JointTask


def write(path, model="dns48", *, change=None, **options):
    """A state dict in the layout of a published model; gives the file and the network."""
    torch.manual_seed(0)
    network = Demucs(**models.PUBLISHED[model].options)
    state = network.state_dict()
    if change:
        change(state)
    torch.save(state, path, **options)
    return network.eval()


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A file that counts as the published dns48: its checksum is put into the table."""
    path = tmp_path / "dns48.th"
    # Files of that age are in the older of torch's formats.
    network = write(path, _use_new_zipfile_serialization=False)
    prefix = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    monkeypatch.setitem(models.PUBLISHED, "dns48", dataclasses.replace(models.PUBLISHED["dns48"], sha256=prefix))
    return path, network


def test_what_is_published():
    names = {name: model.file for name, model in models.PUBLISHED.items()}
    assert names == {
        "dns48": "dns48-11decc9d8e3f0998.th",
        "dns64": "dns64-a7761ff99a7d5bb6.th",
        "master64": "master64-8a5dfb4bb92753dd.th",
        "valentini_nc": "valentini_nc-93fc4337.th",
        "gtcrn_dns3": "model_trained_on_dns3.tar",
        "gtcrn_vctk": "model_trained_on_vctk.tar",
    }


def test_an_imported_model_is_used_everywhere(published, speech, make_upstream, tmp_path, capsys):
    path, network = published
    out = tmp_path / "im ported"
    import_enhancer.main([str(path), "--out", str(out)])
    printed = capsys.readouterr().out
    assert "dns48: written to" in printed
    assert "CC BY-NC 4.0" in printed
    assert "CC BY-NC 4.0" in (out / "LICENSE").read_text()
    with torch.inference_mode():
        expected = network(torch.from_numpy(speech)[None])[0].numpy()
    np.testing.assert_allclose(Enhancer.from_checkpoint(out)(speech, 16000), expected, atol=1e-6)

    soundfile.write(tmp_path / "utt.wav", speech, 16000, subtype="FLOAT")
    enhance.main([str(out), str(tmp_path / "utt.wav"), "--out", str(tmp_path / "enhanced")])
    np.testing.assert_allclose(soundfile.read(tmp_path / "enhanced" / "utt.wav")[0], expected, atol=1e-6)

    settings = joint_settings({"model": "local", "checkpoint": str(make_upstream())})
    settings |= {f"enh_{key}": value for key, value in models.front_end_of(models.PUBLISHED["dns48"]).items()}
    settings["init_param"] = [f"{out / 'model.pth'}::enh_model"]
    from espnet2.torch_utils.load_pretrained_model import load_pretrained_model

    args = parse_settings(settings, tmp_path)
    joint = JointTask.build_model(args)
    load_pretrained_model(args.init_param[0], joint, ignore_init_mismatch=False)
    (estimate,), *_ = joint.eval().enh_model.forward_enhance(
        torch.from_numpy(speech)[None], torch.tensor([len(speech)]), {}
    )
    np.testing.assert_allclose(estimate[0].detach().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["valentini_nc", "dns64"])
def test_weights_of_your_own_in_a_published_layout(tmp_path, speech, name, capsys):
    network = write(tmp_path / "own.th", name)
    import_enhancer.main([str(tmp_path / "own.th"), "--out", str(tmp_path / "out"), "--layout", name])
    assert "CC BY-NC" not in capsys.readouterr().out + (tmp_path / "out" / "LICENSE").read_text()
    loaded = Enhancer.from_checkpoint(tmp_path / "out").model.separator.demucs.state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in network.state_dict().items())


def remove(state):
    del state["lstm.lstm.bias_hh_l1"]


def add(state):
    state["lstm.linear.weight"] = torch.zeros(1)


def reshape(state):
    state["encoder.1.2.weight"] = torch.zeros(3, 2, 1)


def spoil(state):
    state["decoder.4.2.bias"][0] = torch.nan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove, "lacks 1 of 48 parameters: lstm.lstm.bias_hh_l1"),
        (add, "holds parameters that the model does not have: lstm.linear.weight"),
        (reshape, r"encoder.1.2.weight has shape [3, 2, 1], not [192, 96, 1]"),
        (spoil, "decoder.4.2.bias holds values that are not finite"),
    ],
)
def test_a_file_of_another_layout(tmp_path, capsys, change, message):
    write(tmp_path / "file.th", change=change)
    with pytest.raises(SystemExit) as stop:
        import_enhancer.main([str(tmp_path / "file.th"), "--out", str(tmp_path / "out"), "--layout", "dns48"])
    assert stop.value.code == 1
    printed = capsys.readouterr().err
    assert f"{tmp_path / 'file.th'} (dns48)" in printed
    assert message in printed
    assert not (tmp_path / "out").exists()


class Harmful:
    def __reduce__(self):
        return (print, ("this ran",))


def test_code_in_a_file_is_not_run(published, tmp_path, capsys):
    torch.save({"a": Harmful()}, tmp_path / "harmful.th")
    with pytest.raises(SystemExit):
        import_enhancer.main([str(tmp_path / "harmful.th"), "--out", str(tmp_path / "out"), "--layout", "dns48"])
    printed = capsys.readouterr()
    assert "this ran" not in printed.out
    assert "cannot be read as weights" in printed.err


@pytest.fixture
def denoiser_package(monkeypatch):
    """A module that pickles name as they name the package, as long as it is there."""
    module = types.ModuleType("denoiser.demucs")
    module.Demucs = type("Demucs", (), {"__module__": "denoiser.demucs"})
    monkeypatch.setitem(sys.modules, "denoiser", types.ModuleType("denoiser"))
    monkeypatch.setitem(sys.modules, "denoiser.demucs", module)
    return module


@pytest.mark.parametrize("in_zip", [True, False])
@pytest.mark.parametrize("layout", [["--layout", "dns48"], []])
@pytest.mark.parametrize(("file", "key"), [("best.th", "state"), ("checkpoint.th", "best_state")])
def test_what_denoisers_training_wrote(denoiser_package, tmp_path, capsys, monkeypatch, file, key, layout, in_zip):
    network = write(tmp_path / "weights.th")
    state = network.state_dict()
    content = {"class": denoiser_package.Demucs, "args": (), "kwargs": {"hidden": 48}, "state": state}
    if file == "checkpoint.th":
        content = {"model": content, "optimizer": {}, "history": [], "best_state": state, "args": None}
    torch.save(content, tmp_path / file, _use_new_zipfile_serialization=in_zip)
    with pytest.raises(SystemExit):
        import_enhancer.main([str(tmp_path / file), "--out", str(tmp_path / "out"), *layout])
    printed = capsys.readouterr().err
    assert f"({file}) of denoiser's own training" in printed
    assert not (tmp_path / "out").exists()
    # The remedy is one.
    (code,) = re.findall(r'python -c "(.*?)", and import', printed)
    monkeypatch.chdir(tmp_path)
    exec(code)
    assert f"['{key}']" in code
    import_enhancer.main(["weights.th", "--out", "out", "--layout", "dns48"])
    loaded = Enhancer.from_checkpoint(tmp_path / "out").model.separator.demucs.state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in state.items())


def test_a_damaged_or_missing_file_and_a_full_folder(published, tmp_path, capsys):
    path, _ = published
    damaged = tmp_path / "damaged.th"
    damaged.write_bytes(path.read_bytes()[:-1])
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.tex").write_text("years of work")
    cases = [
        ([str(damaged), "--out", str(tmp_path / "out")], "which is no published model"),
        ([str(tmp_path / "none.th"), "--out", str(tmp_path / "out")], "no such file; the published ones: https://"),
        ([str(path), "--out", str(full)], "is not empty"),
    ]
    for arguments, message in cases:
        with pytest.raises(SystemExit) as stop:
            import_enhancer.main(arguments)
        assert stop.value.code == 1
        assert message in capsys.readouterr().err
    assert [entry.name for entry in full.iterdir()] == ["thesis.tex"]


def test_the_earlier_name_of_the_program():
    assert import_denoiser.main is import_enhancer.main


GTCRN_FILES = {"gtcrn_dns3": "model_trained_on_dns3.tar", "gtcrn_vctk": "model_trained_on_vctk.tar"}


@pytest.mark.parametrize("name", GTCRN_FILES)
def test_the_weights_of_gtcrn(name, tmp_path, speech, capsys):
    file = SHARED / "gtcrn" / GTCRN_FILES[name]
    if not file.is_file():
        pytest.skip(f"{file.name} of Xiaobin-Rong/gtcrn is not at hand")
    import_enhancer.main([str(file), "--out", str(tmp_path / "out")])
    assert "licensed MIT, Copyright (c) 2024 Rong Xiaobin" in capsys.readouterr().out
    enhancer = Enhancer.from_checkpoint(tmp_path / "out")
    assert sum(value.numel() for value in enhancer.model.state_dict().values()) + 2 * 64 * 192 == 48_847
    noisy = speech + 0.05 * np.random.default_rng(0).standard_normal(len(speech)).astype("float32")
    enhanced = enhancer(noisy, 16000)
    # It takes noise away.
    assert np.square(enhanced).mean() < np.square(noisy).mean()
    assert np.square(enhanced - noisy).mean() > 1e-6


def test_a_damaged_gtcrn(tmp_path, capsys):
    changes = {
        "is not the filter bank of GTCRN": lambda state: state["erb.erb_fc.weight"].add_(1),
        "point_conv1.weight has shape [3, 3], which is not GTCRN's": lambda state: state.update(
            {"encoder.en_convs.2.point_conv1.weight": torch.zeros(3, 3)}
        ),
        "lacks 1 of": lambda state: state.pop("dpgrnn1.intra_fc.bias"),
        "holds parameters that the model does not have: more": lambda state: state.update(more=torch.ones(1)),
    }
    for message, change in changes.items():
        torch.manual_seed(0)
        state = to_authors_layout(GTCRN().state_dict())
        change(state)
        torch.save({"model": state, "epoch": 3}, tmp_path / "own.tar")
        arguments = [str(tmp_path / "own.tar"), "--out", str(tmp_path / "out"), "--layout", "gtcrn_dns3"]
        with pytest.raises(SystemExit):
            import_enhancer.main(arguments)
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_gtcrn_weights_of_your_own_and_back(tmp_path):
    torch.manual_seed(0)
    network = GTCRN()
    torch.save({"model": to_authors_layout(network.state_dict())}, tmp_path / "own.tar")
    import_enhancer.main([str(tmp_path / "own.tar"), "--out", str(tmp_path / "out"), "--layout", "gtcrn_vctk"])
    loaded = Enhancer.from_checkpoint(tmp_path / "out").model.separator.gtcrn.state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in network.state_dict().items())
