"""Recordings of noise: brought to one rate, cut where they sound, repeated without a seam."""

import numpy as np
import pytest
import soundfile
from places import SHARED

from local.common.errors import RecipeError
from local.common.kaldi_dir import DataError
from local.corpora import noise_folder

SAMPLE_RATE = 16000


def test_noise_that_is_an_offset_alone_is_silent(tmp_path):
    soundfile.write(tmp_path / "muted.wav", np.full(SAMPLE_RATE * 3, 3 / 32768), SAMPLE_RATE)
    with pytest.raises(DataError, match="silent wherever it is cut"):
        noise_folder.cut(tmp_path / "muted.wav", SAMPLE_RATE, part="train", rng=np.random.default_rng(0))


def test_repeated_noise_has_no_gap_and_no_click(tmp_path):
    rng = np.random.default_rng(1)
    # The seam must not show in a noise that is loud at one end and quiet at the other.
    noise = 0.1 * rng.standard_normal(SAMPLE_RATE)
    unit = noise_folder.looped(noise)
    assert len(unit) == SAMPLE_RATE - SAMPLE_RATE // 20
    twice = np.tile(unit, 2)
    frames = twice[: len(twice) // 160 * 160].reshape(-1, 160)
    levels = np.sqrt((frames**2).mean(1))
    assert levels.min() > 0.05
    tone = np.sin(2 * np.pi * 5 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    steps = np.abs(np.diff(np.tile(noise_folder.looped(tone), 2)))
    # As smooth at the seam as the cross-fade itself: no sample jumps.
    assert steps.max() < 0.01


def test_noise_that_is_silent_for_long_is_cut_where_it_sounds(tmp_path):
    signal = np.zeros(10 * SAMPLE_RATE)
    signal[-SAMPLE_RATE:] = 0.1
    soundfile.write(tmp_path / "n.flac", signal, SAMPLE_RATE)
    for seed in range(5):
        piece = noise_folder.cut(tmp_path / "n.flac", SAMPLE_RATE, part="all", rng=np.random.default_rng(seed))
        assert np.abs(piece.samples).max() > 0
    with pytest.raises(RecipeError, match="its train part is silent wherever it is cut"):
        noise_folder.cut(tmp_path / "n.flac", SAMPLE_RATE, part="train", rng=np.random.default_rng(0))


@pytest.mark.skipif(not (SHARED / "noise").is_dir(), reason="real noise is not here")
def test_real_recordings_are_brought_to_the_rate_of_the_models(tmp_path):
    found = noise_folder.find_recordings(SHARED / "noise")
    assert len(found) == 13
    shortest = min(found, key=lambda recording: recording.audio.stat().st_size)
    frames = noise_folder.bring_to_rate((shortest, tmp_path / "n.flac"))
    assert soundfile.info(tmp_path / "n.flac").frames == frames
    assert frames == pytest.approx(soundfile.info(shortest.audio).duration * SAMPLE_RATE, abs=2)
