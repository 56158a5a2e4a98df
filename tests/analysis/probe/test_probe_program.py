"""The command: an upstream and audio files in, numbers, table and figure out."""

import numpy as np
import pytest
import soundfile
import torch
from tiny_architectures import save_hub_model

from espnet_plugins.analysis.probe import ProbeResult
from espnet_plugins.analysis.probe.waveforms import probe_waveforms
from espnet_plugins.bin import probe
from espnet_plugins.objectives import SSL_CRITERIA

NAMES = {"probe.json", "probe.md", "probe.png"}


@pytest.fixture
def sounds(tmp_path):
    """Six utterances of a second in a folder, one too short, one at another rate and in stereo."""
    generator = np.random.default_rng(0)
    folder = tmp_path / "sounds"
    folder.mkdir()
    for k in range(6):
        soundfile.write(folder / f"{k}.wav", 0.1 * generator.standard_normal(16000), 16000)
    soundfile.write(folder / "short.wav", 0.1 * generator.standard_normal(4000), 16000)
    soundfile.write(folder / "stereo.flac", 0.1 * generator.standard_normal((44100, 2)), 44100)
    return folder


def test_a_checkpoint_and_a_folder(make_upstream, sounds, tmp_path, capsys):
    upstream = make_upstream(positions="conv_sinusoidal")
    out = tmp_path / "out"
    probe.main([str(upstream), str(sounds), "--out", str(out), "--seconds", "0.6", "--gradient_layers", "-1", "1"])
    assert {path.name for path in out.iterdir()} == NAMES
    assert (out / "probe.png").read_bytes().startswith(b"\x89PNG")
    result = ProbeResult.read(out / "probe.json")
    assert (result.utterances, result.frames) == (7, 30)
    assert list(result.layers) == [0, 1, 2, 3]
    assert [sorted(layer.gradients) for layer in result.layers.values()] == [
        [],
        ["ssl_mse", "ssl_mse_pad", "ssl_soft_dtw"],
        [],
        ["ssl_mse", "ssl_mse_pad", "ssl_soft_dtw"],
    ]
    assert all(0 < layer.states.index.value < 1 for layer in result.layers.values())
    assert result.table().markdown() in (out / "probe.md").read_text()
    printed = capsys.readouterr().out
    assert result.table().plain() in printed
    assert result.caption() in printed


def test_files_that_cannot_be_read_are_named_and_the_others_probed(make_upstream, sounds, tmp_path, capsys):
    whole = (sounds / "5.wav").read_bytes()
    (sounds / "5.wav").write_bytes(whole[: 3 * len(whole) // 4])
    (sounds / "broken.wav").write_bytes(b"RIFF what is this")
    out = tmp_path / "out"
    options = ["--out", str(out), "--seconds", "0.6", "--gradient_layers", "1"]
    with pytest.raises(SystemExit) as stop:
        probe.main([str(make_upstream()), str(sounds), *options])
    assert stop.value.code == 1
    errors = capsys.readouterr().err
    assert f"left out: {sounds / '5.wav'}: is not whole" in errors
    assert f"left out: {sounds / 'broken.wav'}: cannot be read as audio" in errors
    assert ProbeResult.read(out / "probe.json").utterances == 6


def test_a_directory_of_hugging_face(sounds, tmp_path):
    pytest.importorskip("transformers")
    save_hub_model(tmp_path / "model", layers=1)
    out = tmp_path / "out"
    probe.main([str(tmp_path / "model"), str(sounds), "--out", str(out), "--seconds", "0.5", "--utterances", "4"])
    result = ProbeResult.read(out / "probe.json")
    assert (result.utterances, list(result.layers)) == (4, [0, 1])


def test_a_moved_reference_brings_the_code_into_the_gradient(make_upstream):
    """The recipe's objectives: an aligned reference cancels a code, a moved one does not."""
    generator = torch.Generator().manual_seed(0)
    rhythm = torch.sin(torch.arange(16000) / 800).clamp(min=0)
    utterances = [0.1 * rhythm * torch.randn(16000, generator=generator) for _ in range(12)]
    found = {}
    for positions in ("none", "conv_sinusoidal"):
        upstream = {"model": "local", "checkpoint": str(make_upstream(positions=positions))}
        result = probe_waveforms(upstream, utterances, SSL_CRITERIA, seconds=1.0, gradient_layers=[-1])
        found[positions] = {name: share.value for name, share in result.layers[3].gradients.items()}
    assert abs(found["none"]["ssl_mse"]) < 0.02
    assert abs(found["none"]["ssl_mse_pad"]) < 0.02
    # An alignment begins and ends at the corners, whatever the frames.
    assert abs(found["none"]["ssl_soft_dtw"]) < 0.05
    assert abs(found["conv_sinusoidal"]["ssl_mse"]) < 0.05
    assert found["conv_sinusoidal"]["ssl_mse_pad"] > 0.5
    assert found["conv_sinusoidal"]["ssl_soft_dtw"] > 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no_such_model"], "model 'no_such_model': accepted are hubert_base"),
        (["gone/upstream.pth"], "no upstream checkpoint at gone/upstream.pth"),
    ],
)
def test_a_wrong_upstream_is_one_line(sounds, tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        probe.main([*arguments, str(sounds), "--out", str(tmp_path / "out")])
    assert stop.value.code == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_too_few_utterances_and_missing_files_are_one_line(make_upstream, sounds, tmp_path, capsys):
    upstream = str(make_upstream())
    for inputs, message in (
        ([str(sounds), "--seconds", "5"], "0 of 0 utterances have the 80000 samples"),
        ([str(tmp_path / "gone")], "no such file or folder"),
    ):
        with pytest.raises(SystemExit):
            probe.main([upstream, *inputs, "--out", str(tmp_path / "out")])
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_named_twice_counts_once(sounds, tmp_path):
    read, unreadable = probe.read_utterances([str(sounds), str(sounds / "0.wav")], rate=16000, seconds=0.5, count=99)
    assert len(read) == 7
    assert not unreadable
    assert {len(utterance) for utterance in read} == {16000}


def test_files_that_are_too_short_are_counted(sounds, capsys):
    probe.read_utterances([str(sounds)], rate=16000, seconds=5, count=99)
    assert "8 files are shorter than 5 s and are left out" in capsys.readouterr().err
