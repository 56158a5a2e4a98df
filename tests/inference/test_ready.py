"""Models that come with the package: whole, described, usable by their name."""

import zipfile

import numpy as np
import pytest
import soundfile

from espnet_plugins.bin import enhance
from espnet_plugins.inference import Enhancer
from espnet_plugins.inference.ready import ready_model, ready_models

SAMPLE_RATE = 16000


@pytest.fixture(scope="module")
def noisy():
    """Two seconds of a voiced sound that comes and goes, in noise."""
    rng = np.random.default_rng(0)
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    voice = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 20)) * (np.sin(2 * np.pi * 2 * time) > 0)
    return (0.05 * voice + 0.02 * rng.standard_normal(len(time))).astype(np.float32)


def test_there_is_one_for_whisper():
    assert "gtcrn_for_whisper" in ready_models()
    assert ready_model("gtcrn_for_wisper") is None


@pytest.mark.parametrize("name", ready_models())
def test_it_is_small_and_says_what_it_was_made_of(name):
    with zipfile.ZipFile(ready_model(name)) as archive:
        assert sum(info.file_size for info in archive.infolist()) < 1_000_000
        card = archive.read("README.md").decode()
    for word in ("license:", "LibriSpeech", "CC BY", "MIT", "WER", "run.sh --preset"):
        assert word in card


@pytest.mark.parametrize("name", ready_models())
def test_by_its_name_in_python_and_on_the_command_line(name, noisy, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    enhanced = Enhancer.from_pretrained(name)(noisy, SAMPLE_RATE)
    assert enhanced.shape == noisy.shape
    # What is between the words is noise alone: less of it is left.
    pause = np.sin(2 * np.pi * 2 * np.arange(len(noisy)) / SAMPLE_RATE) < -0.3
    left, between = (np.square(enhanced[part]).sum() / np.square(noisy[part]).sum() for part in (~pause, pause))
    assert between < left < 1
    soundfile.write("noisy.wav", noisy, SAMPLE_RATE, subtype="FLOAT")
    enhance.main([name, "noisy.wav", "--out", "out"])
    np.testing.assert_allclose(soundfile.read("out/noisy.wav", dtype="float32")[0], enhanced, atol=1e-5)


def test_a_name_that_is_no_model_is_answered_with_those_there_are(tmp_path):
    with pytest.raises(FileNotFoundError, match="gtcrn_for_whisper"):
        Enhancer.from_pretrained("gtcrn_for_wisper")
