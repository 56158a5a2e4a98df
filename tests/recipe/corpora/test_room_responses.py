"""Room impulse responses: where one begins, from audio and from Matlab, what is refused."""

import numpy as np
import pytest
import soundfile
from scipy.io import savemat

from local.common.audio import AudioError
from local.common.errors import RecipeError
from local.corpora import room_responses

SAMPLE_RATE = 16000


@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_response_begins_with_the_direct_sound_even_where_a_reflection_is_stronger(tmp_path, rate):
    """As with a speaker who looks away, or reflections that arrive together; noise of the measurement lies before."""
    response = 0.003 * np.random.default_rng(0).standard_normal(rate)
    response[rate // 10], response[rate // 4] = 0.5, -1.0
    soundfile.write(tmp_path / "a.wav", response, rate, subtype="FLOAT")
    found = room_responses.load_response(tmp_path / "a.wav")
    assert found[0] == 1
    assert len(found) == pytest.approx(0.9 * SAMPLE_RATE, abs=2)
    reflection = int(0.15 * SAMPLE_RATE)
    assert np.abs(found[reflection - 2 : reflection + 3]).max() == pytest.approx(2, rel=0.1)
    assert np.abs(found).argmax() == pytest.approx(reflection, abs=1)


def test_a_response_is_the_same_from_audio_and_from_matlab(tmp_path):
    response = np.exp(-np.arange(4000) / 300)
    soundfile.write(tmp_path / "a.wav", np.stack([response, -response], 1), SAMPLE_RATE, subtype="DOUBLE")
    savemat(tmp_path / "b.mat", {"h": np.stack([response, -response]), "Fs": SAMPLE_RATE})
    one, other = (room_responses.load_response(tmp_path / name) for name in ("a.wav", "b.mat"))
    np.testing.assert_allclose(one, other, atol=1e-6)
    savemat(tmp_path / "c.mat", {"h": response})
    with pytest.raises(RecipeError, match=r"c\.mat does not say its sampling rate"):
        room_responses.load_response(tmp_path / "c.mat")
    (tmp_path / "d.mat").write_bytes(b"MATLAB 5.0 MAT-file, but not really" * 9)
    with pytest.raises(RecipeError, match=r"d\.mat: not a \.mat file, or damaged"):
        room_responses.load_response(tmp_path / "d.mat")


@pytest.mark.parametrize("rate", [np.nan, np.inf])
def test_a_rate_that_is_no_number_is_refused(tmp_path, rate):
    savemat(tmp_path / "a.mat", {"h": np.ones(4000), "fs": rate})
    with pytest.raises(RecipeError, match=r"a\.mat does not say its sampling rate"):
        room_responses.load_response(tmp_path / "a.mat")
    with pytest.raises(RecipeError, match=r"a\.mat does not say its sampling rate"):
        room_responses.check_responses([tmp_path / "a.mat"], nj=1)


@pytest.mark.parametrize("beside", ["t", "sweep"])
def test_a_response_with_another_signal_beside_it_is_refused(tmp_path, beside):
    """Which of the two is the response, nothing says."""
    response = np.exp(-np.arange(8000) / 800)
    place = np.zeros((3, 4))
    signal = {"t": np.arange(8000) / 16000, "sweep": np.sin(np.arange(90000.0) ** 2)}[beside]
    savemat(tmp_path / "alone.mat", {"h": response, "microphones": place, "fs": 16000})
    room_responses.load_response(tmp_path / "alone.mat")
    savemat(tmp_path / "two.mat", {beside: signal, "h": response, "fs": 16000})
    with pytest.raises(AudioError, match=rf"two\.mat holds several arrays of numbers \((h, {beside}|{beside}, h)\)"):
        room_responses.load_response(tmp_path / "two.mat")


def test_responses_that_would_be_passed_over_are_named(tmp_path):
    for name in ("a.wav", "notes.txt", "._c.sofa", "hall/b.SOFA"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(RecipeError, match=r"1 responses are of a kind that is not read here, the first is b\.SOFA"):
        room_responses.find_responses(tmp_path)
    (tmp_path / "hall" / "b.SOFA").unlink()
    assert room_responses.find_responses(tmp_path) == [tmp_path / "a.wav"]
