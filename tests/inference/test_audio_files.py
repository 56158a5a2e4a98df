"""Audio files are read as a whole or not at all, whatever their format."""

import numpy as np
import pytest
import soundfile

from espnet_plugins.inference.audio import AudioError, cut_when_written, duration, read, write

# Of these, a header or a mark at the end tells what is missing.
TELLING = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "SVX", "WVE", "NIST", "CAF", "FLAC", "HTK", "SDS", "MP3", "OGG")
SILENT = {"AVR", "MAT4", "MAT5", "MPC2K", "PAF", "PVF", "SD2", "IRCAM", "VOC"}


def written(folder, kind, samples=32000):
    path = folder / f"a.{kind.lower()}"
    waveform = 0.1 * np.random.default_rng(0).standard_normal(samples)
    soundfile.write(path, waveform, 8000 if kind == "WVE" else 16000, format=kind)
    return path


def test_each_format_is_known_to_tell_or_not():
    assert {*TELLING, *SILENT, "RAW", "XI"} == soundfile.available_formats().keys()


@pytest.mark.parametrize("kind", TELLING)
@pytest.mark.parametrize("part", [0.6, 0.99])
def test_a_file_that_was_cut_off_is_refused(tmp_path, kind, part):
    path = written(tmp_path, kind)
    waveform, _ = read(path)
    assert len(waveform) == 32000
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(AudioError, match=rf"a\.{kind.lower()}: (is not whole|cannot be read)"):
        read(path)


@pytest.mark.parametrize(("kind", "subtype"), [("RAW", "PCM_16"), ("XI", "DPCM_16")])
def test_files_without_a_rate_are_refused(tmp_path, kind, subtype):
    path = tmp_path / f"a.{kind.lower()}"
    soundfile.write(path, np.zeros(100, dtype=np.int16), 44100, format=kind, subtype=subtype)
    assert duration(path) in (0.0, 100 / 44100)
    with pytest.raises(AudioError, match=str(path)):
        read(path)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000, 0x80000000])
def test_what_came_through_a_pipe_says_no_length_and_is_read(tmp_path, size):
    path = written(tmp_path, "WAV")
    content = bytearray(path.read_bytes())
    content[40:44] = size.to_bytes(4, "little")
    path.write_bytes(content)
    assert len(read(path)[0]) == 32000


def test_an_mp3_without_a_length_is_refused(tmp_path):
    """Of one with a variable bitrate, libsndfile reads what it guesses to be all."""
    path = written(tmp_path, "MP3")
    content = path.read_bytes()
    tag = b"ID3\x04\0\0\0\0\x07\x76" + bytes(1014)
    path.write_bytes(tag + content)
    assert len(read(path)[0]) == 32000
    second = content.index(content[:2], 40)
    path.write_bytes(tag + content[second:])
    with pytest.raises(AudioError, match="no Xing or Info header"):
        read(path)


def test_random_bytes_are_refused_or_read(tmp_path):
    """Damage of any kind ends in audio of finite values or in one kind of error."""
    rng = np.random.default_rng(0)
    for kind in ("WAV", "FLAC", "OGG", "MP3", "AIFF", "NIST", "CAF"):
        path = written(tmp_path, kind, samples=4000)
        content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        for _ in range(30):
            damaged = content.copy()
            places = rng.integers(0, min(len(content), 200), size=5)
            damaged[places] = rng.integers(0, 256, size=5)
            path.write_bytes(damaged[: rng.integers(1, len(content) + 1)].tobytes())
            duration(path)
            try:
                waveform, rate = read(path)
            except AudioError:
                continue
            assert np.isfinite(waveform).all()
            assert rate > 0


def test_nothing_is_clipped_or_written_that_is_not_finite(tmp_path):
    for name, waveform, message in (
        ("a.flac", np.array([0.5, -1.5]), "flac would clip it"),
        ("a.flac", np.array([0.5, np.inf]), "not finite"),
        ("a.wav", np.array([0.5, np.nan]), "not finite"),
    ):
        with pytest.raises(AudioError, match=message):
            write(tmp_path / name, waveform.astype(np.float32), 16000)
    assert not [*tmp_path.iterdir()]
    write(tmp_path / "a.wav", np.array([0.5, -1.5], dtype=np.float32), 16000)
    assert read(tmp_path / "a.wav")[0].ravel().tolist() == [0.5, -1.5]


def test_what_is_cut_at_full_scale_when_it_is_written_is_noted(tmp_path):
    """Floating point in a file of whole numbers alone; what is written is as without a look."""
    loud = np.array([0.5, -1.5, 1.0])
    with cut_when_written() as cut:
        for name in ("a.wav", "b.flac"):
            soundfile.write(tmp_path / name, loud, 16000)
        soundfile.write(tmp_path / "float.wav", loud, 16000, subtype="FLOAT")
        soundfile.write(tmp_path / "quiet.wav", loud / 2, 16000)
        soundfile.write(str(tmp_path / "whole.wav"), np.array([32767, -32768], dtype=np.int16), 16000, "PCM_16")
    assert cut == {str(tmp_path / "a.wav"): 1.5, str(tmp_path / "b.flac"): 1.5}
    assert soundfile.read(tmp_path / "a.wav")[0].tolist() == pytest.approx([0.5, -1, 1], abs=1e-4)
    assert soundfile.read(tmp_path / "float.wav")[0].tolist() == loud.tolist()
    soundfile.write(tmp_path / "later.wav", loud, 16000)
    assert len(cut) == 2
