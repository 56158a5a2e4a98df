"""From a voice's raw output to an utterance that looks like a recording: level, pauses, a faint floor."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from local.common.audio import resample, rms, to_pcm16, write
from local.corpora.mixing import FLOOR_DB, LEVEL_DB, decibels, named_rng
from local.corpora.synthetic.voices import Prompt, Voice, speak


@dataclasses.dataclass(frozen=True)
class Recording:
    """Sentences of one voice and the files they go to.

    Args:
        voice: The speaker.
        prompts: What is spoken, in order.
        paths: One audio file per prompt; the suffix says the format.
        rate: Of the files, in Hz.
        seed: The same seed gives the same bits.
    """

    voice: Voice
    prompts: tuple[Prompt, ...]
    paths: tuple[Path, ...]
    rate: int
    seed: int


def finish(raw: np.ndarray, source: int, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Trim silence, set the level, add short pauses and a faint noise floor.

    Args:
        raw: int16 samples of shape (T,).
        source: Their rate in Hz.
        rate: The wanted rate in Hz.
        rng: Where level, pauses and floor come from.

    Returns:
        int16 samples, 0.1 to 0.3 s of pause at each end.
    """
    speech = resample(raw.astype(np.float32) / 32768, source, rate)
    loud = np.flatnonzero(np.abs(speech) > 0.02 * np.abs(speech).max())
    speech = speech[loud[0] : loud[-1] + 1]
    speech = speech * (decibels(LEVEL_DB + rng.uniform(-2, 2)) / rms(speech))
    before, after = (rng.uniform(0.1, 0.3, 2) * rate).astype(int)
    padded = np.pad(speech, (before, after))
    return to_pcm16(padded + decibels(FLOOR_DB) * rng.standard_normal(len(padded), dtype=np.float32))


def record(job: Recording) -> int:
    """Speak the sentences of a job and write their files; needs a fresh process, see `speak`.

    Args:
        job: Voice, sentences, files.

    Returns:
        How many files were written.
    """
    for path, (raw, source) in zip(job.paths, speak(job.voice, job.prompts, seed=job.seed), strict=True):
        samples = finish(raw, source, job.rate, named_rng(job.seed, path.stem))
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, samples, job.rate)
    return len(job.paths)


def small_talk(job: tuple[Voice, tuple[str, ...], int, int]) -> np.ndarray:
    """Continuous background speech; needs a fresh process, see `speak`.

    Args:
        job: Voice, sentences, rate in Hz, seed.

    Returns:
        float32 of shape (samples,).
    """
    voice, texts, rate, seed = job
    spoken = speak(voice, [Prompt(text) for text in texts], seed=seed)
    return np.concatenate([resample(raw.astype(np.float32) / 32768, source, rate) for raw, source in spoken])
