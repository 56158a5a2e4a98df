"""Reading and resampling audio; whatever is wrong with a file is said in one line that names it."""

from __future__ import annotations

import dataclasses
import io
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile
import soxr

from espnet_plugins.truncation import missing_part
from local.common.errors import RecipeError
from local.common.output import atomic_path

# Of a signal's level: a smaller constant offset changes no SNR.
_OFFSET_SHARE = 0.1
# The rate of all models of the recipe.
SAMPLE_RATE = 16000
# Of files without a header, by the name: soundfile wants to be told what is in them.
_HEADERLESS = {".raw", ".pcm"}


class AudioError(RecipeError):
    """A file that cannot be used as audio."""


@dataclasses.dataclass(frozen=True)
class AudioInfo:
    """What a header says: samples per channel, samples per second, channels."""

    frames: int
    rate: int
    channels: int


def _promised_wav_bytes(path: Path) -> int | None:
    """How many bytes of samples a WAV header promises; None where it does not say.

    libsndfile silently shortens a truncated file, so that the header has to be read apart.
    """
    with path.open("rb") as file:
        header = file.read(12)
        if header[:4] != b"RIFF" or header[8:] != b"WAVE":
            return None
        while len(chunk := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", chunk)
            if name == b"data":
                # Both values are written by programs that stream and never come back to the header.
                return None if size in (0, 0xFFFFFFFF) else size + file.tell()
            file.seek(size + size % 2, 1)
    return None


def check_is_file(path: Path) -> None:
    """Insist that there is a file, which is not opened.

    Raises:
        AudioError: Where nothing is, or a folder or a device.
    """
    try:
        if not path.is_file():
            what = "a folder or a device, no audio file" if path.exists() else "no such audio file"
            raise AudioError(f"{path}: {what}")
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror or error}") from None


def inspect(path: str | Path, *, rate: int | None = None, channels: int | None = 1) -> AudioInfo:
    """Check an audio file by its header and its size.

    Args:
        path: A file that soundfile reads.
        rate: The rate it must have, in Hz; None takes any.
        channels: The channels it must have; None takes any number.

    Returns:
        Its length, rate and channels.

    Raises:
        AudioError: When it is missing, empty, truncated, not audio, or of another rate or channel count.
    """
    path = Path(path)
    check_is_file(path)
    try:
        size, promised = path.stat().st_size, _promised_wav_bytes(path)
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror or error}") from None
    if size == 0:
        raise AudioError(f"{path}: the file is empty (0 bytes); copy it again from the corpus")
    if path.suffix.lower() in _HEADERLESS:
        raise AudioError(f"{path}: has no header that tells its rate and format; write it as WAV")
    try:
        info = soundfile.info(str(path))
    except (soundfile.SoundFileError, OSError, TypeError, ValueError):
        raise AudioError(_refused(path) or f"{path}: not an audio file, or its header is damaged") from None
    if promised is not None and promised > size:
        raise AudioError(f"{path}: truncated, {size} bytes of {promised}; copy it again from the corpus")
    if info.frames == 0:
        raise AudioError(f"{path}: holds no samples")
    if channels is not None and info.channels != channels:
        raise AudioError(f"{path}: has {info.channels} channels where {channels} is expected; mix it down first")
    if rate is not None and info.samplerate != rate:
        raise AudioError(
            f"{path}: sampled at {info.samplerate} Hz where {rate} Hz is expected; "
            "resample it, or set the corpus's `rate` in the preset"
        )
    return AudioInfo(info.frames, info.samplerate, info.channels)


def read(
    path: str | Path, *, rate: int | None = None, channel: int | None = None, frames: int = -1
) -> tuple[np.ndarray, int]:
    """Read one channel of an audio file.

    Args:
        path: A file that soundfile reads.
        rate: The rate it must have, in Hz; None takes any.
        channel: Which channel to take of a file with several; None insists on a single one.
        frames: How many samples to read at most, from the start; -1 reads all.

    Returns:
        Samples as float32, in [-1, 1) but for files of floating point, shape (T,), and the rate in Hz.

    Raises:
        AudioError: See `inspect`; also when fewer samples can be decoded than the header promises, or one is no
            finite number.
    """
    info = inspect(path, rate=rate, channels=1 if channel is None else None)
    try:
        with soundfile.SoundFile(str(path)) as file:
            signal, file_rate = file.read(frames, dtype="float32", always_2d=True), file.samplerate
            # An MP3 that is a little short is dealt with below.
            whole = frames >= 0 or (file.format == "MP3" and len(signal) < info.frames)
            missing = None if whole else missing_part(Path(path), file, samples=len(signal))
    except (soundfile.SoundFileError, OSError, TypeError, ValueError):
        raise AudioError(_refused(path) or f"{path}: cannot be decoded, it is damaged or truncated") from None
    except MemoryError:
        raise AudioError(f"{path}: its header promises {info.frames} samples, more than memory holds") from None
    if missing:
        raise AudioError(f"{path}: is not whole: {missing}; copy it again, or write it as FLAC or WAV")
    expected = info.frames if frames < 0 else min(frames, info.frames)
    if len(signal) < expected - _slack(path, expected, found=len(signal)):
        raise AudioError(_refused(path) or f"{path}: truncated, {len(signal)} samples of {expected}")
    if not np.isfinite(signal).all():
        bad = int(np.argmin(np.isfinite(signal).all(axis=1)))
        raise AudioError(f"{path}: sample {bad} is no finite number; make the file again, or take it out")
    return signal[:, channel or 0], file_rate


def _refused(path: str | Path) -> str:
    """What the disk says of a file that soundfile did not read, which takes no notice of it; empty for nothing."""
    try:
        with Path(path).open("rb") as file:
            while file.read(1 << 20):
                pass
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror or error}"
    return ""


def _slack(path: str | Path, expected: int, *, found: int) -> int:
    """Samples that may be missing: of an MP3 libsndfile guesses up to a few frames of 1152 too many."""
    if found < expected and soundfile.info(str(path)).format == "MP3":
        return min(expected // 50, 8 * 1152)
    return 0


def resample(signal: np.ndarray, source: int, target: int = SAMPLE_RATE) -> np.ndarray:
    """Resample with soxr in high quality.

    Args:
        signal: Shape (T,).
        source: Its rate in Hz.
        target: The wanted rate in Hz.

    Returns:
        Shape (about T * target / source,), the same dtype.
    """
    return signal if source == target else soxr.resample(signal, source, target, quality="HQ")


def to_pcm16(signal: np.ndarray) -> np.ndarray:
    """Round to the nearest 16-bit samples, half to even, and clip.

    (soundfile itself rounds so for FLAC, but downwards for WAV.)

    Example:
        >>> to_pcm16(np.array([0.5, -1.0, 1.0], dtype=np.float32))
        array([ 16384, -32768,  32767], dtype=int16)
    """
    return np.clip(np.rint(signal * 32768.0), -32768, 32767).astype(np.int16)


def fitting_gain(signals: Iterable[np.ndarray]) -> float:
    """The one gain that brings signals which belong together inside the full scale of 16 bits; 1 where they fit.

    Args:
        signals: Floating point, 1 being full scale.

    Example:
        >>> fitting_gain([np.array([0.25, -1.0]), np.array([0.5])])
        1.0
        >>> fitting_gain([np.array([0.25]), np.array([-4.0])]) * -4.0
        -0.999969482421875
    """
    low, high = 0.0, 0.0
    for signal in signals:
        low, high = min(low, float(signal.min(initial=0.0))), max(high, float(signal.max(initial=0.0)))
    # Full scale reaches one step further down than up.
    fits = np.rint(low * 32768.0) >= -32768 and np.rint(high * 32768.0) <= 32767
    return 1.0 if fits else 32767 / 32768 / max(-low, high)


def is_clipped(signal: np.ndarray) -> bool:
    """Whether three samples or more in a row stand at full scale.

    Example:
        >>> is_clipped(np.array([0.5, 1.0, 1.0, 1.0])), is_clipped(np.array([0.5, 1.2, 1.4, 1.3]))
        (True, False)
    """
    full = np.abs(signal) >= 32767 / 32768
    same = full[:-1] & (signal[:-1] == signal[1:])
    return bool((same[:-1] & same[1:]).any())


def write(path: Path, signal: np.ndarray, rate: int = SAMPLE_RATE) -> None:
    """Write 16-bit audio, all or nothing, in the format that the name ends in.

    The file is put together in memory. Given a path, soundfile does not say when the header, which it writes last, did
    not get to a full or broken disk; and it waits for the disk at the end of every file, which for thousands of short
    ones takes longer than making them.

    Args:
        path: Ends in .wav or .flac.
        signal: Shape (T,) or (T, C), int16, or floating point in [-1, 1).
        rate: In Hz.

    Raises:
        RecipeError: When the file cannot be written; nothing is left of it.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "silence.wav"
        >>> write(target, np.zeros(160, dtype=np.int16))
        >>> inspect(target)
        AudioInfo(frames=160, rate=16000, channels=1)
    """
    content = io.BytesIO()
    soundfile.write(content, signal, rate, format=path.suffix[1:], subtype="PCM_16")
    with atomic_path(path) as tmp:
        tmp.write_bytes(content.getbuffer())


def rms(signal: np.ndarray) -> float:
    """Root of the mean square, of whatever scale the samples have."""
    return float(np.sqrt(np.mean(np.square(signal, dtype=np.float64))))


def without_offset(signal: np.ndarray) -> np.ndarray:
    """A signal without a recorder's constant offset, which is neither speech nor noise and would count as level.

    Args:
        signal: Shape (T,).

    Returns:
        The signal without its mean; the signal itself where the mean is a tenth of its level at most, which is 0.04 dB.

    Example:
        >>> without_offset(np.array([0.5, 0.7, 0.6])).round(3).tolist()
        [-0.1, 0.1, 0.0]
    """
    mean = float(np.mean(signal, dtype=np.float64)) if len(signal) else 0.0
    return signal - np.asarray(mean, dtype=signal.dtype) if abs(mean) > _OFFSET_SHARE * rms(signal) else signal
