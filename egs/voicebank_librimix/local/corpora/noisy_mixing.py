"""An utterance of speech with any noise, perhaps in a room: drawn, mixed, written; and the manifest of a set."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from local.common.audio import SAMPLE_RATE, AudioError, read, resample, rms, to_pcm16, without_offset, write
from local.common.output import atomic_path, log
from local.corpora import noise_folder
from local.corpora.clean_speech import Speech
from local.corpora.mixing import active_rms, decibels, named_rng
from local.corpora.room_responses import in_room, load_response

# Speech in which nothing is louder cannot be brought to an SNR.
_SILENCE = 10 ** (-80 / 20)
_COLUMNS = (
    *("utt", "clean", "noisy", "text", "speaker", "noise", "snr"),
    *("source", "recording", "start", "looped", "rir", "gain", "seed"),
)


@dataclasses.dataclass(frozen=True)
class Mixture:
    """One utterance to make, and what of it may be drawn."""

    speech: Speech
    recordings: tuple[tuple[str, str, Path], ...]
    part: str
    snrs: tuple[float, ...]
    responses: tuple[tuple[str, Path], ...]
    folder: Path
    seed: int
    name: str


def mix(task: Mixture) -> dict[str, Any]:
    """Draw noise and room for an utterance, and write its clean and its noisy file.

    The SNR is that of the active speech, in the room, to the noise. Where a signal is over full scale, both files get
    one gain, which the manifest tells.

    Returns:
        The utterance's line of the manifest.

    Raises:
        AudioError: When the speech cannot be read or is silent.
        DataError: When the noise is silent.
    """
    rng = named_rng(task.seed, f"{task.name} {task.speech.id}")
    kinds = sorted({kind for _, kind, _ in task.recordings})
    kind = kinds[rng.integers(len(kinds))]
    names = [(name, path) for name, own, path in task.recordings if own == kind]
    name, path = names[rng.integers(len(names))]
    snr = task.snrs[rng.integers(len(task.snrs))]
    clean, rate = read(task.speech.audio)
    clean = without_offset(resample(clean.astype(np.float64), rate, SAMPLE_RATE))
    room, response = task.responses[rng.integers(len(task.responses))] if task.responses else ("", None)
    heard, clean = (clean, clean) if response is None else in_room(clean, load_response(response))
    if len(heard) < SAMPLE_RATE // 50 or rms(heard) < _SILENCE:
        raise AudioError(f"{task.speech.audio} is silent or shorter than 20 ms: leave it out")
    level = active_rms(heard, SAMPLE_RATE)
    piece = noise_folder.cut(path, len(heard), part=task.part, rng=rng)
    noise = piece.samples * (level / rms(piece.samples) * decibels(-snr))
    noisy = heard + noise
    peak = max(float(np.abs(noisy).max()), float(np.abs(clean).max()))
    gain = 1.0 if peak <= 0.999 else 0.99 / peak
    targets = [task.folder / side / f"{task.speech.id}.flac" for side in ("clean", "noisy")]
    for target, signal in zip(targets, (clean, noisy), strict=True):
        write(target, to_pcm16(signal * gain))
    return {
        "utt": task.speech.id,
        "clean": targets[0].relative_to(task.folder).as_posix(),
        "noisy": targets[1].relative_to(task.folder).as_posix(),
        "text": task.speech.text,
        "speaker": task.speech.speaker,
        "noise": kind,
        "snr": f"{snr:g}",
        "source": task.speech.audio.name,
        "recording": name,
        "start": piece.start,
        "looped": int(piece.looped),
        "rir": room,
        "gain": f"{gain:.6g}",
        "seed": task.seed,
    }


def write_manifest(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write what was drawn for each utterance of a set."""
    with atomic_path(path) as tmp, tmp.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def tell(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Say what was not as it should be, by count."""
    for key, value, what in (("looped", 1, "have noise that was repeated"), ("gain", "1", "were over full scale")):
        count = sum((row[key] == value) == (key == "looped") for row in rows)
        if count:
            log(f"{name}: {count} of {len(rows)} utterances {what}, see manifest.csv")
