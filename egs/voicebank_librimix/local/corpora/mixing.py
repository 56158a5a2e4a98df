"""Speech plus noise at a given SNR, written so that their difference is the noise to the 16-bit sample."""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from local.common.audio import read, rms, to_pcm16, write
from local.common.errors import RecipeError
from local.common.kaldi_dir import DataError

# Root mean square of made speech, low enough for noise at -5 dB to fit without clipping, and of its floor.
LEVEL_DB = -30.0
FLOOR_DB = -78.0
# Noise recordings are cut here: what stands before is for training, what follows for tests.
TRAIN_SHARE = 0.6
# Width of the classes of SNR that results are broken down by, in dB.
_SNR_CLASS = 5
# How many stretches of noise are tried before a mixture that clips is an error.
_ATTEMPTS = 50


def decibels(level: float) -> float:
    """An amplitude factor from a level in dB."""
    return 10.0 ** (level / 20)


def snr_class(snr: float) -> str:
    """The class of an SNR.

    Example:
        >>> snr_class(-3.2), snr_class(5.0)
        ('snr-5to0dB', 'snr5to10dB')
    """
    low = int(snr // _SNR_CLASS) * _SNR_CLASS
    return f"snr{low}to{low + _SNR_CLASS}dB"


def read_snr(text: str, *, where: str) -> float:
    """A finite number of dB out of a table.

    Raises:
        DataError: For anything else.

    Example:
        >>> read_snr("-2.5", where="t.csv, line 2")
        -2.5
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: '{text}' is not an SNR in dB")
    return value


def named_rng(seed: int, name: str) -> np.random.Generator:
    """A generator of its own for each name, whatever the order of work."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


@dataclasses.dataclass(frozen=True)
class Mixing:
    """One noisy file to make.

    Args:
        clean: The speech.
        noise: A recording of an environment, at the same rate.
        snr: In dB, of the active speech to the noise.
        part: "train", or anything else for tests: which part of the recording the noise is cut from.
        target: The file to write.
        seed: The same seed gives the same bits.
    """

    clean: Path
    noise: Path
    snr: float
    part: str
    target: Path
    seed: int


def conditions(
    stems: Sequence[str], noises: Sequence[str], snrs: Sequence[float], *, seed: int = 0
) -> dict[str, tuple[str, float]]:
    """Assign a noise and an SNR to every utterance as VoiceBank-DEMAND does.

    Args:
        stems: Utterances named `speaker_number`.
        noises: Noise types.
        snrs: In dB.
        seed: Of the choice for what is left.

    Returns:
        Utterance -> (noise, SNR): inside a speaker, in order of utterances, all pairs in turn; what does not
        fill a turn gets pairs at random.

    Example:
        >>> conditions(["p1_001", "p1_002", "p2_001", "p2_002"], ["hum"], [10, 0])["p2_002"]
        ('hum', 0)
    """
    pairs = [(noise, snr) for noise in sorted(noises) for snr in sorted(snrs, reverse=True)]
    by_speaker: dict[str, list[str]] = {}
    for stem in sorted(stems):
        by_speaker.setdefault(stem.rsplit("_", 1)[0], []).append(stem)
    assigned: dict[str, tuple[str, float]] = {}
    for speaker, own in by_speaker.items():
        rest = named_rng(seed, speaker).permutation(len(pairs))[: len(own) % len(pairs)]
        turns = pairs * (len(own) // len(pairs)) + [pairs[i] for i in sorted(rest)]
        assigned.update(zip(own, turns, strict=True))
    return assigned


@lru_cache(maxsize=16)
def load_recording(path: Path) -> np.ndarray:
    """A noise recording, kept for the next mixture of this process."""
    return read(path)[0]


def cut(noise: np.ndarray, part: str, size: int, rng: np.random.Generator) -> np.ndarray:
    """Cut a random piece out of the part of a recording that is meant for training or for tests.

    Raises:
        RecipeError: When that part is too short.
    """
    border = int(TRAIN_SHARE * len(noise))
    start, stop = (0, border) if part == "train" else (border, len(noise))
    if stop - start < size:
        raise RecipeError(
            f"a noise recording of {len(noise)} samples is too short for {size} of its {part} part: raise noise_seconds"
        )
    begin = int(rng.integers(start, stop - size + 1))
    return noise[begin : begin + size]


def active_rms(speech: np.ndarray, rate: int) -> float:
    """The level of speech without its pauses.

    A simple form of ITU-T P.56: the root of the mean square over those frames of 20 ms that are at most 30 dB
    below the loudest.

    Args:
        speech: Shape (T,), at least one frame long.
        rate: In Hz.

    Returns:
        The level, on the scale of the samples.
    """
    size = rate // 50
    frames = speech[: len(speech) // size * size].reshape(-1, size)
    powers = np.mean(np.square(frames, dtype=np.float64), axis=1)
    return float(np.sqrt(powers[powers > 1e-3 * powers.max()].mean()))


def mix(job: Mixing) -> Path:
    """Write a noisy file; the clean one must hold 16-bit samples.

    Args:
        job: What to mix.

    Returns:
        The file written.

    Raises:
        RecipeError: When the mixture cannot be made without clipping.
    """
    clean, rate = read(job.clean)
    rng = named_rng(job.seed, f"{job.clean.stem} {job.snr} {job.noise.parent.name}")
    for _ in range(_ATTEMPTS):
        noise = cut(load_recording(job.noise), job.part, len(clean), rng)
        noise = noise * (active_rms(clean, rate) / rms(noise) * decibels(-job.snr))
        mixture = to_pcm16(clean).astype(int) + to_pcm16(noise)
        # A gust in a quiet stretch of noise may clip: then another stretch is taken.
        if np.abs(mixture).max() < 32768 and np.abs(noise).max() < 1:
            write(job.target, mixture.astype(np.int16), rate)
            return job.target
    raise RecipeError(f"{job.clean} with {job.noise.parent.name} at {job.snr} dB clips wherever the noise is cut")
