"""Bad audio gets one clear line; good audio passes unchanged."""

import numpy as np
import pytest
import soundfile

from local.common import audio
from local.common.audio import AudioError


@pytest.fixture
def tone(tmp_path):
    """A second of a 440 Hz tone: (path, int16 samples)."""
    samples = (8000 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)).astype(np.int16)
    path = tmp_path / "tone.wav"
    soundfile.write(path, samples, 16000, subtype="PCM_16")
    return path, samples


def test_a_good_file_passes_bit_by_bit(tone):
    path, samples = tone
    assert audio.inspect(path, rate=16000) == audio.AudioInfo(16000, 16000, 1)
    signal, rate = audio.read(path)
    np.testing.assert_array_equal(audio.to_pcm16(audio.resample(signal, rate, 16000)), samples)


def broken(kind, tone, tmp_path):
    path, samples = tone
    target = tmp_path / f"{kind}.wav"
    if kind == "empty":
        target.write_bytes(b"")
    elif kind == "truncated":
        target.write_bytes(path.read_bytes()[:-1000])
    elif kind == "text":
        target.write_text("I am no sound\n" * 100)
    elif kind == "stereo":
        soundfile.write(target, np.stack([samples, samples], 1), 16000)
    elif kind == "rate":
        soundfile.write(target, samples, 8000)
    elif kind == "silent header":
        soundfile.write(target, samples[:0], 16000)
    elif kind == "truncated flac":
        flac = tmp_path / "whole.flac"
        noise = np.random.default_rng(0).integers(-9000, 9000, 16000).astype(np.int16)
        soundfile.write(flac, noise, 16000)
        target = tmp_path / "cut.flac"
        target.write_bytes(flac.read_bytes()[:9000])
    return target


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no such audio file"),
        ("empty", "empty"),
        ("truncated", "truncated, 31044 bytes of 32044"),
        ("text", "not an audio file"),
        ("stereo", "has 2 channels where 1 is expected"),
        ("rate", "sampled at 8000 Hz where 16000 Hz is expected"),
        ("silent header", "holds no samples"),
        ("truncated flac", "damaged or truncated|truncated"),
    ],
)
def test_a_bad_file_is_named_with_its_fault(kind, message, tone, tmp_path):
    path = broken(kind, tone, tmp_path)
    with pytest.raises(AudioError, match=message) as error:
        audio.read(path, rate=16000)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_channel_and_a_beginning_can_be_chosen(tmp_path):
    path = tmp_path / "two.wav"
    both = np.stack([np.full(100, 0.25), np.full(100, -0.5)], axis=1)
    soundfile.write(path, both, 16000)
    signal, _ = audio.read(path, channel=1, frames=30)
    np.testing.assert_array_equal(signal, np.full(30, -0.5, dtype=np.float32))


def test_resampling_there_and_back_keeps_the_content(tone):
    signal = audio.read(tone[0])[0]
    there = audio.resample(signal, 16000, 48000)
    back = audio.resample(there, 48000, 16000)
    assert len(there) == 48000
    assert len(back) == 16000
    assert np.corrcoef(signal[400:-400], back[400:-400])[0, 1] > 0.99999


def test_rounding_to_16_bit_clips_and_rounds_to_even():
    values = np.array([1.5, -1.5, 0.5 / 32768, 1.5 / 32768, -0.5 / 32768])
    assert audio.to_pcm16(values).tolist() == [32767, -32768, 0, 2, 0]


def test_an_mp3_may_be_a_little_shorter_than_libsndfile_guesses_but_not_half(tmp_path):
    signal = 0.1 * np.random.default_rng(0).standard_normal(3 * 16000)
    soundfile.write(tmp_path / "whole.mp3", signal, 16000, format="MP3")
    assert len(audio.read(tmp_path / "whole.mp3")[0]) == len(signal)
    content = (tmp_path / "whole.mp3").read_bytes()
    (tmp_path / "nearly.mp3").write_bytes(content[: int(0.99 * len(content))])
    assert 0.95 * len(signal) < len(audio.read(tmp_path / "nearly.mp3")[0]) < len(signal)
    (tmp_path / "half.mp3").write_bytes(content[: len(content) // 2])
    with pytest.raises(AudioError, match=r"half\.mp3: truncated"):
        audio.read(tmp_path / "half.mp3")


@pytest.mark.parametrize("kind", ["OGG", "AIFF", "AU", "W64", "RF64", "NIST"])
def test_half_a_file_of_any_format_is_not_read_as_a_whole_one(tmp_path, kind):
    signal = 0.1 * np.random.default_rng(0).standard_normal(3 * 16000)
    path = tmp_path / f"whole.{kind.lower()}"
    soundfile.write(path, signal, 16000, format=kind)
    assert len(audio.read(path)[0]) == len(signal)
    assert len(audio.read(path, frames=100)[0]) == 100
    half = tmp_path / f"half.{kind.lower()}"
    half.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match=rf"half\.{kind.lower()}: (is not whole|truncated|cannot be decoded)"):
        audio.read(half)


def test_an_mp3_that_does_not_say_its_length_is_not_read(tmp_path):
    """Of a variable bitrate, libsndfile guesses the length, and reads a part without a word."""
    path = tmp_path / "stream.mp3"
    signal = 0.1 * np.random.default_rng(0).standard_normal(3 * 16000)
    soundfile.write(path, signal, 16000, format="MP3", bitrate_mode="VARIABLE")
    assert len(audio.read(path)[0]) == len(signal)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"Xing", bytes(4)).replace(b"Info", bytes(4)))
    with pytest.raises(AudioError, match=r"stream\.mp3: is not whole: it has no Xing or Info header"):
        audio.read(path)


def test_what_libsndfile_has_no_say_in_is_named_all_the_same(tmp_path):
    (tmp_path / "a.raw").write_bytes(bytes(400))
    (tmp_path / "b.wav").mkdir()
    long = tmp_path / ("x" * 300)
    for path, message in (
        (tmp_path / "a.raw", "has no header that tells its rate"),
        (tmp_path / "b.wav", "a folder or a device, no audio file"),
        (long, "cannot be read: File name too long"),
    ):
        with pytest.raises(AudioError, match=message) as error:
            audio.read(path)
        assert str(path) in str(error.value)
