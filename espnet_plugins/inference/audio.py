"""Audio of any format, rate and channel count, in and out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr

from espnet_plugins.atomic import atomic_path

FORMATS = {"wav": "FLOAT", "flac": "PCM_24"}


class AudioError(ValueError):
    """A file or an array that cannot be used as audio."""


def as_channels(waveform: np.ndarray, *, where: str = "waveform") -> np.ndarray:
    """Bring a waveform into the shape (samples, channels).

    Args:
        waveform: (T,) or (T, C); integers are scaled to [-1, 1).
        where: What an error message calls it.

    Returns:
        (T, C) in float32.

    Raises:
        AudioError: For another shape, no samples, or values that are not finite.

    Example:
        >>> as_channels(np.array([16384, -32768], dtype=np.int16)).tolist()
        [[0.5], [-1.0]]
    """
    waveform = np.asarray(waveform)
    if waveform.ndim not in (1, 2) or 0 in waveform.shape:
        raise AudioError(f"{where}: needs (samples,) or (samples, channels), not {list(waveform.shape)}")
    scale = 1.0
    if np.issubdtype(waveform.dtype, np.integer):
        scale = float(np.iinfo(waveform.dtype).max) + 1.0
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


def duration(path: Path) -> float:
    """Seconds of a file, by its header; 0 where it cannot be read."""
    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, OSError):
        return 0.0
    return info.frames / info.samplerate


def read(path: Path) -> tuple[np.ndarray, int]:
    """Read a file.

    Args:
        path: Anything libsndfile reads: WAV, FLAC, OGG, MP3, AIFF, ...

    Returns:
        (T, C) in float32, and the rate in Hz.

    Raises:
        AudioError: When it is no audio, damaged, or empty.
    """
    try:
        waveform, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"{path}: cannot be read as audio: {error}") from error
    return as_channels(waveform, where=str(path)), rate


def write(path: Path, waveform: np.ndarray, rate: int) -> None:
    """Write a file, as a whole or not at all; its name's ending, one of FORMATS, says how."""
    kind = path.suffix.removeprefix(".")
    with atomic_path(path) as temporary:
        soundfile.write(str(temporary), waveform, rate, format=kind.upper(), subtype=FORMATS[kind])
