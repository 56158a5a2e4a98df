"""Noise of any origin: a folder of recordings, of any rate, length, channels and format that soundfile reads."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from local.common.audio import SAMPLE_RATE, AudioError, read, resample, rms, to_pcm16, without_offset, write
from local.common.errors import OptionError
from local.common.kaldi_dir import DataError
from local.corpora.mixing import TRAIN_SHARE, named_rng

# Shorter recordings are refused: repeated, they would be a tone.
LEAST_SECONDS = 1.0
# A stretch below this level counts as silence.
SILENCE = 10 ** (-90 / 20)
# Of a recording that is too short for an utterance, each repetition fades over into the next for so long.
_FADE_SECONDS = 0.05
# How many stretches are tried before a recording counts as silent.
_ATTEMPTS = 50
_READABLE = {f".{name.lower()}" for name in soundfile.available_formats()} - {".raw"} | {".oga", ".opus", ".aif"}
# Audio, but not for soundfile, or without a header that tells its rate.
_FOREIGN = {".m4a", ".mp4", ".aac", ".wma", ".amr", ".webm", ".mka", ".ape", ".wv", ".ac3", ".dsf", ".spx"}
_FOREIGN |= {".raw", ".pcm"}


@dataclasses.dataclass(frozen=True)
class Recording:
    """A recording of noise.

    Args:
        name: Its path in the folder without the ending.
        kind: Its type: the first folder of the path, or the name where there is none.
        audio: The file.
    """

    name: str
    kind: str
    audio: Path


def find_recordings(folder: Path) -> list[Recording]:
    """List the recordings of a folder.

    Args:
        folder: With audio files, perhaps in folders by type of noise. Other files are passed over.

    Returns:
        Sorted by name.

    Raises:
        DataError: When there is no audio, audio in a format that cannot be read, or two files of one name.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder: give one with recordings of noise with --noise")
    found: dict[str, Recording] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if any(part.startswith(".") or part == "__MACOSX" for part in relative.parts) or not path.is_file():
            continue
        if path.suffix.lower() in _FOREIGN:
            raise DataError(f"{path}: {path.suffix} cannot be read: convert it to FLAC or WAV, or remove it")
        if path.suffix.lower() not in _READABLE:
            continue
        name = _word(relative.with_suffix("").as_posix())
        if name in found:
            raise DataError(f"{path} and {found[name].audio} would both be called '{name}': rename one")
        found[name] = Recording(name, _word(relative.parts[0] if relative.parent.name else path.stem), path)
    if not found:
        raise DataError(f"{folder} holds no audio file ({', '.join(sorted(_READABLE))})")
    return [found[name] for name in sorted(found)]


def _word(name: str) -> str:
    """One word of a name, for lists and tables."""
    return re.sub(r"[^\w.-]+", "_", name)


def choose(
    recordings: Sequence[Recording], unseen: Sequence[Any] | float | None, *, seed: int
) -> dict[str, list[Recording]]:
    """Part the types of noise into those that training knows and those that it does not.

    Args:
        recordings: All of them.
        unseen: Types by name, or a share of all types, which are drawn; nothing keeps none apart.
        seed: Of the draw.

    Returns:
        "seen" and "unseen".

    Raises:
        OptionError: For a type that does not exist, or a share that is none.
    """
    kinds = sorted({recording.kind for recording in recordings})
    if unseen is None:
        apart: set[str] = set()
    elif isinstance(unseen, (list, tuple)):
        apart = {str(name) for name in unseen}
        if missing := sorted(apart - {*kinds}):
            raise OptionError(f"noisy_speech: unseen: there is no noise '{missing[0]}', only {', '.join(kinds)}")
    elif isinstance(unseen, (int, float)) and not isinstance(unseen, bool) and 0 < unseen < 1:
        count = min(max(round(unseen * len(kinds)), 1), len(kinds) - 1)
        apart = {kinds[i] for i in named_rng(seed, "unseen noises").permutation(len(kinds))[:count]}
    else:
        raise OptionError(f"noisy_speech: unseen: {unseen!r} is neither a list of noises nor a share between 0 and 1")
    return {
        "seen": [recording for recording in recordings if recording.kind not in apart],
        "unseen": [recording for recording in recordings if recording.kind in apart],
    }


def bring_to_rate(task: tuple[Recording, Path]) -> int:
    """Write the first channel of a recording at the rate of the models, at one gain where it is over full scale.

    Args:
        task: The recording and the file to write.

    Returns:
        Its length in samples.

    Raises:
        AudioError: When it cannot be read, is too short, silent, or holds what is no number.
    """
    recording, target = task
    signal, rate = read(recording.audio, channel=0)
    if len(signal) < LEAST_SECONDS * rate:
        raise AudioError(
            f"{recording.audio} lasts {len(signal) / rate:.2f} s: noise needs {LEAST_SECONDS:g} s at least; remove it, "
            "or join it with others of its kind"
        )
    signal = without_offset(resample(signal, rate, SAMPLE_RATE))
    if rms(signal) < SILENCE:
        raise AudioError(f"{recording.audio} is silent: remove it")
    write(target, to_pcm16(signal * min(1.0, 0.99 / float(np.abs(signal).max()))))
    return len(signal)


@dataclasses.dataclass(frozen=True)
class Piece:
    """A piece of noise: where it starts, in samples of the recording, and whether the recording was repeated."""

    samples: np.ndarray
    start: int
    looped: bool


def region(frames: int, part: str) -> tuple[int, int]:
    """The samples of a recording that a split takes noise from: train and dev the beginning, test what follows.

    Example:
        >>> region(1000, "train"), region(1000, "test"), region(1000, "all")
        ((0, 600), (600, 1000), (0, 1000))
    """
    border = int(TRAIN_SHARE * frames)
    return {"train": (0, border), "test": (border, frames)}.get(part, (0, frames))


def looped(signal: np.ndarray) -> np.ndarray:
    """What can be repeated end to end: the last samples fade over into the first, at constant power.

    Args:
        signal: Shape (T,).

    Returns:
        Shape (T - F,), F being 50 ms, or a quarter of a very short signal.
    """
    fade = min(int(_FADE_SECONDS * SAMPLE_RATE), len(signal) // 4)
    phase = (np.arange(fade) + 0.5) / fade * (np.pi / 2)
    faded = signal[:fade] * np.sin(phase) + signal[-fade:] * np.cos(phase)
    return np.concatenate([faded, signal[fade : len(signal) - fade]]).astype(signal.dtype)


def cut(path: Path, size: int, *, part: str, rng: np.random.Generator) -> Piece:
    """Cut a piece that is not silent out of a recording; one that is too short is repeated.

    Args:
        path: At the rate of the models, mono.
        size: Wanted length in samples.
        part: "train", "test" or "all", see `region`.
        rng: Where the choice comes from.

    Raises:
        DataError: When it is silent wherever it is cut.
    """
    first, last = region(soundfile.info(str(path)).frames, part)
    repeated = last - first < size
    if repeated:
        whole, _ = soundfile.read(str(path), start=first, stop=last, dtype="float64")
        whole = looped(whole)
    for _ in range(_ATTEMPTS):
        if repeated:
            start = int(rng.integers(len(whole)))
            samples = np.take(whole, np.arange(start, start + size), mode="wrap")
        else:
            start = int(rng.integers(last - first - size + 1))
            samples, _ = soundfile.read(str(path), start=first + start, frames=size, dtype="float64")
        # A muted stretch may hold the recorder's offset.
        if rms(samples - samples.mean()) >= SILENCE:
            return Piece(samples, first + start, repeated)
    raise DataError(f"{path.stem}: its {part} part is silent wherever it is cut; remove this noise")
