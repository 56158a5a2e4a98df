"""Audio archives ready for training: 16 kHz, FLAC, a few large files with Kaldi's lists."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from espnet_plugins.atomic import remove
from local.common.archives import append_flac
from local.common.audio import (
    SAMPLE_RATE,
    AudioError,
    check_is_file,
    fitting_gain,
    is_clipped,
    read,
    resample,
    to_pcm16,
)
from local.common.kaldi_dir import Utterance
from local.common.output import atomic_path
from local.common.parallel import parallel_map

# A reference that ends in zeros for so long is noted: LibriMix in max mode pads with them.
_TAIL_SECONDS = 0.1
# Utterances per archive: few files, yet enough shards for all processes.
_MOST_PER_ARCHIVE = 1000
_FEWEST_ARCHIVES = 8


@dataclasses.dataclass(frozen=True)
class _Shard:
    """What one process writes: a folder with the archives of a run of utterances."""

    folder: Path
    utterances: tuple[Utterance, ...]
    name: str


@contextmanager
def told_of(name: str, utterance: Utterance) -> Iterator[None]:
    """Say of an error of an audio file in which set and utterance it is: a path by itself does not tell.

    Args:
        name: The set's.
        utterance: Whose files are looked at.

    Raises:
        AudioError: With both in front.
    """
    try:
        yield
    except AudioError as error:
        raise AudioError(f"set '{name}', utterance '{utterance.id}': {error}") from None


def check_files(name: str, utterances: Sequence[Utterance], *, remedy: str) -> None:
    """See that every audio file of a set is there; none is opened.

    Args:
        name: The set's.
        utterances: As the corpus lists them.
        remedy: What to look at where one is missing.

    Raises:
        AudioError: Naming the first utterance and file, how many lack one, and the remedy.
    """
    faults = []
    for utterance in utterances:
        try:
            with told_of(name, utterance):
                for path in utterance.signals.values():
                    check_is_file(Path(path))
        except AudioError as error:
            faults.append(str(error))
    if faults:
        lacking = f" ({len(faults)} of {len(utterances)} utterances lack a file)" if len(faults) > 1 else ""
        raise AudioError(f"{faults[0]}{lacking}; {remedy}")


def _read_signals(utterance: Utterance) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The 16-bit signals of an utterance, and what is to be noted about it.

    Where one is over full scale all get the same gain: clipped each by itself, they would not belong together any more.
    """
    signals: dict[str, np.ndarray] = {}
    facts: dict[str, str] = {}
    for name, path in utterance.signals.items():
        signal, rate = read(path, rate=utterance.rate)
        if is_clipped(signal):
            facts["clipped"] = f"{facts['clipped']} {name}" if "clipped" in facts else name
        signals[name] = resample(signal, rate, SAMPLE_RATE)
        if len(signals[name]) != len(signals["wav"]):
            raise AudioError(
                f"{path} has {len(signals[name])} samples at {SAMPLE_RATE} Hz, "
                f"{utterance.wav} has {len(signals['wav'])}"
            )
    gain = fitting_gain(signals.values())
    if gain != 1.0:
        facts["gain"] = f"{gain:.6g}"
        signals = {name: signal.astype(np.float64) * gain for name, signal in signals.items()}
    # 16-bit files that need no resampling pass bit by bit.
    samples = {name: to_pcm16(signal) for name, signal in signals.items()}
    for name, path in utterance.signals.items():
        if name != "noise1" and not samples[name].any():
            raise AudioError(f"{path} is silent: the utterance teaches nothing and has no score; leave it out")
    tail = len(samples["spk1"]) - 1 - int(np.flatnonzero(samples["spk1"])[-1])
    if tail >= _TAIL_SECONDS * SAMPLE_RATE:
        facts["tail"] = f"{tail / SAMPLE_RATE:.2f}"
    return samples, facts


def _write_archives(folder: Path, utterances: Sequence[Utterance], *, name: str) -> None:
    """Write the archives of some utterances and an index of places and lengths."""
    folder.mkdir()
    index: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        archives = {kind: stack.enter_context((folder / f"{kind}.ark").open("wb")) for kind in utterances[0].signals}
        for utterance in utterances:
            with told_of(name, utterance):
                signals, facts = _read_signals(utterance)
            locations = {
                kind: append_flac(archives[kind], utterance.id, signal, rate=SAMPLE_RATE)
                for kind, signal in signals.items()
            }
            index[utterance.id] = {"samples": len(signals["wav"]), **locations, "facts": facts}
    (folder / "index.json").write_text(json.dumps(index))


def _dump_shard(shard: _Shard) -> list[Utterance]:
    """Write a shard unless it is there; gives its utterances as they stand in the dump."""
    if not shard.folder.exists():
        with atomic_path(shard.folder) as tmp:
            _write_archives(tmp, shard.utterances, name=shard.name)
    index = json.loads((shard.folder / "index.json").read_text())

    def location(utterance: Utterance, name: str) -> str:
        return f"{shard.folder / name}.ark:{index[utterance.id][name]}"

    return [
        dataclasses.replace(
            u,
            wav=location(u, "wav"),
            references=tuple(location(u, f"spk{i}") for i in range(1, len(u.references) + 1)),
            noise=None if u.noise is None else location(u, "noise1"),
            samples=index[u.id]["samples"],
            rate=SAMPLE_RATE,
            # A folder of an earlier version has no such notes.
            details={**u.details, **index[u.id].get("facts", {})},
        )
        for u in shard.utterances
    ]


def dump(utterances: Sequence[Utterance], folder: Path, *, nj: int, name: str = "") -> list[Utterance]:
    """Bring a set to 16 kHz, one channel, 16 bit, in FLAC archives that ESPnet's type `kaldi_ark` reads.

    Shards that an earlier, interrupted call finished are kept, so the folder must belong to these utterances.

    Args:
        utterances: Of one set, with audio files.
        folder: Gets a numbered folder per shard, with wav.ark, spk1.ark and so on.
        nj: Parallel processes.
        name: The set's, for messages and beside the progress; default: that of the folder above.

    Returns:
        The utterances with `archive:place` for files, and their lengths at 16 kHz. Among their details are, where
        there is something to note, `gain` (that brought all signals inside the full scale), `clipped` (which signals
        stand at full scale) and `tail` (seconds of zeros at the end of the reference).

    Raises:
        AudioError: When a file cannot be used, or an input or a reference is silent; names set and utterance.
        RecipeError: When an archive cannot be written; nothing of its shard is left.
    """
    name = name or folder.parent.name
    size = max(1, min(_MOST_PER_ARCHIVE, -(-len(utterances) // _FEWEST_ARCHIVES)))
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".*.tmp"):
        remove(leftover)
    shards = [
        _Shard(folder / f"{start // size:04d}", tuple(utterances[start : start + size]), name)
        for start in range(0, len(utterances), size)
    ]
    dumped = parallel_map(_dump_shard, shards, nj=nj, description=f"dump {name}", unit="archive", batch=1)
    return [utterance for shard in dumped for utterance in shard]
