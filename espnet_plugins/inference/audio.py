"""Audio of any format, rate and channel count, in and out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from espnet_plugins.atomic import write_audio
from espnet_plugins.contents import is_lfs_pointer
from espnet_plugins.truncation import missing_part

FORMATS = {"wav": "FLOAT", "flac": "PCM_24"}
# The greatest value that each format holds; float holds any.
_FULL_SCALE = {"FLOAT": np.inf, "PCM_24": 1 - 2.0**-23}
# Endings that libsndfile's formats have in practice, and those of audio that it does not read: named, not passed over.
_ENDINGS = frozenset(
    {f".{name.lower()}" for name in soundfile.available_formats()}
    | {".aif", ".aifc", ".oga", ".opus", ".snd", ".sph", ".sf", ".iff", ".fap"}
    | {".m4a", ".mp4", ".aac", ".wma", ".amr", ".webm", ".mka", ".ape", ".wv", ".ac3", ".dsf", ".spx", ".pcm"}
)
# What has more of them, and fewer samples than channels, is lying on its side.
_MOST_CHANNELS = 64
_HEADERLESS = {".raw", ".pcm"}
_UNREADABLE = (soundfile.SoundFileError, OSError, TypeError, ValueError, MemoryError)


class AudioError(ValueError):
    """A file or an array that cannot be used as audio."""


def as_channels(waveform: np.ndarray, *, where: str = "waveform") -> np.ndarray:
    """Bring a waveform into the shape (samples, channels).

    Args:
        waveform: (T,) or (T, C); integers are scaled to [-1, 1), unsigned ones about the middle of their range.
        where: What an error message calls it.

    Returns:
        (T, C) in float32.

    Raises:
        AudioError: For another shape, more channels than samples, no samples, or values that are not finite.

    Example:
        >>> as_channels(np.array([16384, -32768], dtype=np.int16)).tolist()
        [[0.5], [-1.0]]
    """
    waveform = np.asarray(waveform)
    if waveform.size == 0 and waveform.ndim in (1, 2):
        raise AudioError(f"{where}: holds no samples")
    if waveform.ndim not in (1, 2):
        raise AudioError(f"{where}: needs (samples,) or (samples, channels), not {list(waveform.shape)}")
    if waveform.ndim == 2 and waveform.shape[1] > max(waveform.shape[0], _MOST_CHANNELS):
        raise AudioError(
            f"{where}: {list(waveform.shape)} would be more channels than samples: give (samples, channels)"
        )
    scale = 1.0
    if np.issubdtype(waveform.dtype, np.unsignedinteger):
        scale = (float(np.iinfo(waveform.dtype).max) + 1.0) / 2
        waveform = waveform.astype(np.float64) - scale
    elif np.issubdtype(waveform.dtype, np.integer):
        scale = float(np.iinfo(waveform.dtype).max) + 1.0
    # What is beyond float32 becomes infinite, which is told below.
    with np.errstate(over="ignore", invalid="ignore"):
        channels = waveform.reshape(len(waveform), -1).astype(np.float32) / np.float32(scale)
    if not np.isfinite(channels).all():
        raise AudioError(f"{where}: holds values that are not finite")
    return channels


def resample(waveform: np.ndarray, rate: int, target: int, *, samples: int | None = None) -> np.ndarray:
    """Resample (T, C); with `samples`, to exactly that many.

    Args:
        waveform: (T, C).
        rate: Its rate in Hz.
        target: The rate wanted.
        samples: The length wanted; rounding may add or take a sample.

    Returns:
        (T', C) in float32.
    """
    if rate != target:
        waveform = soxr.resample(waveform, rate, target).astype(np.float32)
    if samples is None or len(waveform) == samples:
        return waveform
    return np.pad(waveform[:samples], ((0, max(samples - len(waveform), 0)), (0, 0)))


def is_audio_name(name: str) -> bool:
    """Whether a file in a folder is taken for audio, by its ending; hidden ones are not.

    Example:
        >>> is_audio_name("a.WAV"), is_audio_name("a.m4a"), is_audio_name("a.txt"), is_audio_name("._a.wav")
        (True, True, False, False)
    """
    return Path(name).suffix.lower() in _ENDINGS and not name.startswith(".")


def duration(path: Path) -> float:
    """Seconds of a file, by its header; 0 where it cannot be read."""
    try:
        info = soundfile.info(str(path))
    except _UNREADABLE:
        return 0.0
    return info.frames / info.samplerate


def read(path: Path) -> tuple[np.ndarray, int]:
    """Read a file.

    Args:
        path: Anything libsndfile reads: WAV, FLAC, OGG, MP3, AIFF, ...

    Returns:
        (T, C) in float32, and the rate in Hz.

    Raises:
        AudioError: When it is no audio, damaged, cut off, empty, or holds values that are not finite.
    """
    if path.suffix.lower() in _HEADERLESS:
        raise AudioError(f"{path}: has no header that tells its rate and format; write it as WAV")
    try:
        with soundfile.SoundFile(str(path)) as file:
            waveform, rate = file.read(dtype="float32", always_2d=True), file.samplerate
            missing = missing_part(path, file, samples=len(waveform))
    except _UNREADABLE as error:
        raise AudioError(f"{path}: cannot be read as audio: {_why_unreadable(path, error)}") from error
    if missing:
        raise AudioError(f"{path}: is not whole: {missing}; copy it again, or write what there is as a new WAV")
    return as_channels(waveform, where=str(path)), rate


def _why_unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "its header promises more samples than memory holds"
    if path.is_file() and not path.stat().st_size:
        return "it is empty (0 bytes)"
    if path.is_file() and is_lfs_pointer(path):
        return "it is a git-LFS pointer, not the file itself: run `git lfs pull`"
    if not path.exists():
        return "there is no such file"
    # What names the path, already named, is left out.
    if isinstance(error, soundfile.LibsndfileError):
        return error.error_string.rstrip(".")
    return getattr(error, "strerror", None) or str(error)


def full_scale_gain(waveform: np.ndarray, kind: str) -> float:
    """Factor, at most 1, at which a waveform fits into a format of FORMATS without clipping.

    Example:
        >>> full_scale_gain(np.array([0.5, -2.0]), "wav"), round(full_scale_gain(np.array([0.5, -2.0]), "flac"), 3)
        (1.0, 0.5)
    """
    peak = float(np.abs(waveform).max(initial=0))
    limit = _FULL_SCALE[FORMATS[kind]]
    return 1.0 if peak <= limit else limit / peak


def write(path: Path, waveform: np.ndarray, rate: int) -> None:
    """Write a file, as a whole or not at all; its name's ending, one of FORMATS, says how.

    Args:
        path: The file.
        waveform: (T,) or (T, C).
        rate: In Hz.

    Raises:
        AudioError: For values that are not finite, or that the format does not hold (see full_scale_gain()).
    """
    kind = path.suffix.removeprefix(".")
    channels = as_channels(waveform, where=f"the result {path}")
    # A rounding of the gain's product is no clipping.
    if np.abs(channels).max() > _FULL_SCALE[FORMATS[kind]] + 2.0**-24:
        raise AudioError(f"the result {path}: lies above full scale, {kind} would clip it")
    write_audio(path, waveform, rate, format=kind.upper(), subtype=FORMATS[kind])


@contextlib.contextmanager
def cut_when_written() -> Iterator[dict[str, float]]:
    """Note what soundfile.write cuts at full scale without a word, as ESPnet's programs write estimates.

    Yields:
        Path -> greatest absolute value, of those above 1 in a format of whole numbers.

    Example:
        >>> import tempfile
        >>> with cut_when_written() as cut:
        ...     soundfile.write(Path(tempfile.mkdtemp()) / "a.wav", np.array([0.5, -2.0]), 16000)
        >>> list(cut.values())
        [2.0]
    """
    cut: dict[str, float] = {}
    stock = soundfile.write

    def write_noting(file, data, samplerate, subtype=None, *args, format=None, **options):
        if isinstance(file, (str, os.PathLike)) and np.issubdtype(np.asarray(data).dtype, np.floating):
            kind = subtype or soundfile.default_subtype(format or Path(file).suffix.removeprefix(".").upper())
            peak = float(np.abs(data).max(initial=0))
            if kind.startswith("PCM") and peak > 1:
                cut[os.fspath(file)] = peak
        stock(file, data, samplerate, subtype, *args, format=format, **options)

    soundfile.write = write_noting
    try:
        yield cut
    finally:
        soundfile.write = stock
