"""Room impulse responses of any origin: a folder of .wav (or other audio) and .mat files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from local.common.audio import SAMPLE_RATE, AudioError, read, resample
from local.common.kaldi_dir import DataError
from local.common.parallel import parallel_map

# Raised with every change that reads the same responses otherwise.
RESPONSES = 2
# What belongs to the direct sound: reflections that arrive so soon afterwards help understanding.
EARLY_SECONDS = 0.05
_AUDIO = {".wav", ".flac", ".aif", ".aiff", ".ogg"}
# Responses, or audio, that would be passed over.
_OTHERS = {".sofa", ".mp3", ".w64", ".caf", ".m4a", ".opus", ".oga", ".raw", ".pcm", ".au", ".sph"}
# What a sampling rate can be, in Hz.
_RATES = (4000, 768000)
# A response is read in a moment; a damaged one may keep its reader busy for ever.
_SECONDS = 120.0
_SHOWN = 5
# Longer arrays of a .mat file are signals; shorter ones may say where microphones stood.
_NO_SIGNAL = 100
_RATE_NAMES = ("fs", "samplerate", "sample_rate", "samplingrate", "sampling_rate", "sr")


def find_responses(folder: Path) -> list[Path]:
    """List the responses of a folder, sorted.

    Raises:
        DataError: When there are none, or some of another kind, which would be missing without a word.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder: give one with room impulse responses with --rirs")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in {*_AUDIO, ".mat"} and path.is_file() and not path.name.startswith(".")
    )
    if not found:
        raise DataError(f"{folder} holds no room impulse response (.wav or .mat)")
    others = [path for path in folder.rglob("*") if path.suffix.lower() in _OTHERS and not path.name.startswith(".")]
    if others:
        raise DataError(
            f"{folder}: {len(others)} responses are of a kind that is not read here, the first is {min(others).name}: "
            "convert them to .wav, or remove them"
        )
    return found


def files_in(folder: Path) -> dict[str, Path]:
    """All files of a folder by their names in it, wherever it lies."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def load_response(path: Path) -> np.ndarray:
    """Read a response, from the direct sound on, which becomes 1.

    Args:
        path: Audio of any rate, of which the first channel is taken; or a .mat file with one array of numbers and its
            sampling rate (fs, samplerate or the like, perhaps inside a structure).

    Returns:
        Shape (T,), at the rate of the models.

    Raises:
        AudioError: When it cannot be read, or is silent.
    """
    signal, rate = _read_mat(path) if path.suffix.lower() == ".mat" else read(path, channel=0)
    signal = np.asarray(signal, dtype=np.float64)
    if not np.isfinite(signal).all() or not np.abs(signal).max(initial=0.0) > 0:
        raise AudioError(f"{path}: the response is silent or holds values that are no numbers: remove it")
    signal = resample(signal, rate, SAMPLE_RATE)
    if not np.abs(signal).max(initial=0.0) > 0:
        raise AudioError(f"{path}: the response is too short: remove it")
    signal = signal[direct_sound(signal) :]
    return signal / signal[0]


def direct_sound(response: np.ndarray) -> int:
    """Where the direct sound of a response is.

    It is what arrives first, not what is strongest: reflections that arrive together, or a source that is turned away,
    are often stronger (in a quarter of the responses of SHINE-FBK's DIRHA, by up to 9 dB and a quarter of a second
    later). A response begins where it first comes within 20 dB of its strongest sample (ISO 3382-1, A.3.4); the direct
    sound is the strongest sample of the millisecond that follows.

    Args:
        response: Shape (T,), at the rate of the models, not silent.

    Returns:
        Its sample.

    Example:
        >>> direct_sound(np.array([0.0, 0.01, 0.3, 0.8] + [0.0] * 50 + [1.0]))
        3
    """
    level = np.abs(response)
    onset = int(np.argmax(level >= level.max() / 10))
    return onset + int(level[onset : onset + SAMPLE_RATE // 1000].argmax())


def check_responses(paths: Sequence[Path], *, nj: int) -> None:
    """Read every response once, before hours of mixing rely on them, in processes that damaged ones may end.

    Args:
        paths: See `find_responses`.
        nj: Number of processes.

    Raises:
        AudioError: When some cannot be read, with the first of them by name.
    """
    faults = [
        fault
        for fault in parallel_map(
            _fault, paths, nj=nj, description="rooms", unit="file", name=str, lost=_lost, seconds=_SECONDS
        )
        if fault
    ]
    if faults:
        more = f"; and {len(faults) - _SHOWN} more of {len(paths)}" if len(faults) > _SHOWN else ""
        raise AudioError("; ".join(faults[:_SHOWN]) + more)


def _fault(path: Path) -> str:
    """What is wrong with a response; empty for nothing."""
    try:
        load_response(path)
    except AudioError as error:
        return str(error)
    return ""


def _lost(path: Path, why: str) -> str:
    """Damaged .mat files can end scipy's reader with the process that it is in."""
    return f"{path}: cannot be read ({why}): it is damaged, remove it"


def _leaves(value: Any, name: str) -> Iterator[tuple[str, np.ndarray]]:
    """Arrays of numbers of a .mat file by the last part of their names, those in structures too."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not key.startswith("__"):
                yield from _leaves(inner, key)
    elif isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and value.size:
        yield name, value
    elif isinstance(value, (int, float)):
        yield name, np.asarray(value)


def _read_mat(path: Path) -> tuple[np.ndarray, int]:
    from scipy.io import loadmat

    try:
        content = loadmat(str(path), simplify_cells=True)
    except NotImplementedError:
        raise AudioError(f"{path}: MATLAB's format 7.3 cannot be read: save it with -v7, or as .wav") from None
    # Whatever a damaged file makes of scipy's reader.
    except Exception as error:
        raise AudioError(f"{path}: not a .mat file, or damaged ({error})") from None
    leaves = list(_leaves(content, ""))
    rates = [float(value.item()) for name, value in leaves if value.size == 1 and name.lower() in _RATE_NAMES]
    arrays = [np.squeeze(value) for _, value in leaves if value.size > 1]
    if not rates or not _RATES[0] <= rates[0] <= _RATES[1]:
        raise AudioError(f"{path} does not say its sampling rate ({', '.join(_RATE_NAMES)}): save it as .wav")
    if not arrays:
        raise AudioError(f"{path} holds no array of numbers")
    longest = max(arrays, key=lambda array: array.size)
    # A time axis, a sweep or another recording beside the response would be taken for it.
    signals = [name for name, value in leaves if max(value.shape, default=1) > _NO_SIGNAL]
    if len(signals) > 1:
        named = ", ".join(signals)
        raise AudioError(f"{path} holds several arrays of numbers ({named}): save the response alone, or as .wav")
    if longest.ndim > 2:
        raise AudioError(f"{path}: an array of shape {longest.shape} is no response: save one response per file")
    # The longer side is time; of several channels the first is taken.
    one = longest if longest.ndim == 1 else longest[:, 0] if longest.shape[0] >= longest.shape[1] else longest[0]
    return one, int(rates[0])


def in_room(speech: np.ndarray, response: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Let speech sound in a room.

    Args:
        speech: Shape (T,).
        response: See `load_response`.

    Returns:
        What arrives, and of that what arrives directly or within 50 ms of it, each of shape (T,) and in time with the
        speech.
    """
    early = response[: int(EARLY_SECONDS * SAMPLE_RATE)]
    return tuple(scipy.signal.fftconvolve(speech, part)[: len(speech)] for part in (response, early))
