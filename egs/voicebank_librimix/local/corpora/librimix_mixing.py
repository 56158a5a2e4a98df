"""LibriMix mixtures from the published metadata (Cosentino et al., 2020, arXiv:2005.11262).

An implementation of the published algorithm that generates only what is asked, can be interrupted at any
utterance, and keeps a constant amount in memory. Signals agree with the official generator's to the sample.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from espnet_plugins.atomic import remove
from local.common.audio import SAMPLE_RATE, read, resample, write
from local.common.errors import OptionError, RecipeError
from local.common.kaldi_dir import DataError
from local.common.output import atomic_path
from local.common.parallel import parallel_map
from local.corpora.librispeech import transcript

TYPES = ("mix_clean", "mix_both", "mix_single")
MODES = ("max", "min")
RATES = (16000, 8000)
# The split's folder -> the part of LibriSpeech that its metadata is named after.
SPLITS = {
    "train-360": "train-clean-360",
    "train-100": "train-clean-100",
    "dev": "dev-clean",
    "test": "test-clean",
}

# Both halves of this window fade the noise over into its own beginning.
_FADE = 8001
_FADE_IN = np.hanning(2 * _FADE - 1)[:_FADE]
# Endings of the speed-perturbed noises of train-360, with the factor.
_SPEEDS = {"sp08.wav": 0.8, "sp12.wav": 1.2}


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the metadata: paths relative to LibriSpeech and to the noise folder, linear gains."""

    id: str
    sources: tuple[str, ...]
    source_gains: tuple[float, ...]
    noise: str
    noise_gain: float


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is generated of one split.

    Args:
        metadata: The CSV of the split.
        librispeech: The folder LibriSpeech/.
        wham: The folder wham_noise/.
        out: Gets `wav16k/max/<split>/<type>/<mixture>.wav` and so on.
        split: One of SPLITS.
        types: Of TYPES.
        modes: Of MODES.
        rates: Of RATES, in Hz.
    """

    metadata: Path
    librispeech: Path
    wham: Path
    out: Path
    split: str
    types: tuple[str, ...] = ("mix_single",)
    modes: tuple[str, ...] = ("max",)
    rates: tuple[int, ...] = (SAMPLE_RATE,)

    def folder(self, rate: int, mode: str) -> Path:
        """E.g. `<out>/wav16k/max`."""
        return self.out / f"wav{rate // 1000}k" / mode

    @property
    def journal(self) -> Path:
        """Where finished mixtures are noted, one line each."""
        choice = "-".join(map(str, (self.split, *self.rates, *self.modes)))
        return self.out / f".{choice}.journal"


def _checked(lines: Iterator[str], path: Path) -> Iterator[str]:
    """The lines of a file, one at a time."""
    try:
        yield from lines
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8: the file is damaged, fetch it again") from None


def read_metadata(path: Path) -> Iterator[Row]:
    """Read the rows of a metadata CSV one by one, for any number of sources.

    Args:
        path: Columns mixture_ID, source_1_path, source_1_gain, ..., noise_path, noise_gain.

    Yields:
        The rows in order.

    Raises:
        DataError: For a missing file, a missing column, a number that is none, or an id that does not
            consist of its sources' names.
    """
    if not path.is_file():
        raise DataError(f"{path} is missing: it comes with the metadata of LibriMix")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(_checked(file, path))
        names = reader.fieldnames or []
        count = sum(name.startswith("source_") and name.endswith("_path") for name in names)
        for entry in reader:
            try:
                row = Row(
                    id=entry["mixture_ID"],
                    sources=tuple(entry[f"source_{i}_path"] for i in range(1, count + 1)),
                    source_gains=tuple(float(entry[f"source_{i}_gain"]) for i in range(1, count + 1)),
                    noise=entry["noise_path"],
                    noise_gain=float(entry["noise_gain"]),
                )
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(f"{path}, line {reader.line_num}: not a row of LibriMix metadata ({error})") from None
            if not all(math.isfinite(gain) for gain in (*row.source_gains, row.noise_gain)):
                raise DataError(f"{path}, line {reader.line_num}: a gain is no finite number")
            if not row.sources or row.id != "_".join(Path(source).stem for source in row.sources):
                raise DataError(f"{path}, line {reader.line_num}: '{row.id}' is not made of its sources' names")
            yield row


def extend_noise(noise: np.ndarray, length: int) -> np.ndarray:
    """Repeat a noise, each repetition cross-faded into the one before.

    Args:
        noise: Shape (T,).
        length: Wanted length in samples.

    Returns:
        Shape (length,).

    Raises:
        DataError: When the noise is too short to be cross-faded.
    """
    # Every repetition adds what stands behind the faded part.
    if len(noise) <= _FADE:
        raise DataError(f"a noise of {len(noise)} samples cannot be extended, more than {_FADE} are needed")
    overlap = noise[:_FADE] * _FADE_IN
    fade_out = _FADE_IN[::-1]
    extended = noise
    while len(extended) < length:
        joint = extended[-_FADE:] * fade_out + overlap
        extended = np.concatenate((extended[:-_FADE], joint, noise[_FADE:]))
    return extended[:length]


def read_noise(path: Path, length: int) -> np.ndarray:
    """Read a noise from its first sample, its first channel, extended where it is too short.

    Args:
        path: A file of WHAM!. Where it is one of the speed-perturbed noises (`...sp08.wav`) and does not
            exist, it is made here from the file it derives from.
        length: Wanted length in samples.

    Returns:
        Shape (length,), float32, or float64 where it was extended.
    """
    ending = path.name[-8:]
    if ending in _SPEEDS and not path.exists():
        speed = _SPEEDS[ending]
        original = path.with_name(path.name.removesuffix(ending) + ".wav")
        slow, _ = read(original, rate=SAMPLE_RATE, channel=0, frames=int(length * speed) + 2 * SAMPLE_RATE)
        noise = resample(np.ascontiguousarray(slow), round(SAMPLE_RATE * speed), SAMPLE_RATE)[:length]
    else:
        noise, _ = read(path, rate=SAMPLE_RATE, channel=0, frames=length)
    try:
        return noise if len(noise) >= length else extend_noise(noise, length)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _scaled(row: Row, plan: Plan) -> list[np.ndarray]:
    """Sources and noise times their gains, at 16 kHz, each at its own length."""
    sources = [read(plan.librispeech / path, rate=SAMPLE_RATE)[0] for path in row.sources]
    noise = read_noise(plan.wham / row.noise, max(len(source) for source in sources))
    gains = (*row.source_gains, row.noise_gain)
    # A Python float keeps float32 signals in float32.
    return [signal * float(gain) for signal, gain in zip([*sources, noise], gains, strict=True)]


def _fit(signals: Sequence[np.ndarray], mode: str) -> list[np.ndarray]:
    """Cut all to the shortest (min), or pad with zeros to the longest (max)."""
    if mode == "min":
        shortest = min(map(len, signals))
        return [signal[:shortest] for signal in signals]
    longest = max(map(len, signals))
    return [np.pad(signal, (0, longest - len(signal))) for signal in signals]


def components(kind: str, count: int) -> tuple[str, ...]:
    """The signals that add up to a mixture.

    Example:
        >>> components("mix_both", 2), components("mix_single", 2)
        (('s1', 's2', 'noise'), ('s1', 'noise'))
    """
    voices = tuple(f"s{i + 1}" for i in range(1 if kind == "mix_single" else count))
    return voices if kind == "mix_clean" else (*voices, "noise")


def mix(row: Row, plan: Plan, *, rate: int, mode: str) -> dict[str, np.ndarray]:
    """Make the signals of one mixture.

    Args:
        row: The metadata.
        plan: Where the sources lie, and the types of mixture.
        rate: In Hz.
        mode: "max" or "min".

    Returns:
        Name of the folder (s1, noise, mix_single, ...) -> signal of shape (T,), only those that the types
        need.
    """
    # Down-sampling comes before the cut, so that lengths are those of the published corpus.
    scaled = [
        signal if rate == SAMPLE_RATE else scipy.signal.resample_poly(signal, rate, SAMPLE_RATE)
        for signal in _scaled(row, plan)
    ]
    names = [f"s{i + 1}" for i in range(len(row.sources))] + ["noise"]
    fitted = dict(zip(names, _fit(scaled, mode), strict=True))
    made: dict[str, np.ndarray] = {}
    for kind in plan.types:
        parts = components(kind, len(row.sources))
        made.update((part, fitted[part]) for part in parts)
        # In the precision of the first source, also where an extended noise has more.
        total = fitted[parts[0]].copy()
        for part in parts[1:]:
            np.add(total, fitted[part], out=total, casting="same_kind")
        made[kind] = total
    return made


def signal_to_noise(signal: np.ndarray, mixture: np.ndarray) -> float:
    """The ratio of a signal to the rest of the mixture, in dB, as the published metrics define it."""
    power, rest = np.mean(signal**2), np.mean((mixture - signal) ** 2)
    return float(10 * np.log10(power / (rest + 1e-10) + 1e-10))


def _generate(task: tuple[Row, Plan]) -> dict[str, Any]:
    """Write every signal of a row; gives the lengths and metrics that its line in the tables needs."""
    row, plan = task
    record: dict[str, Any] = {"id": row.id}
    for rate in plan.rates:
        for mode in plan.modes:
            folder = plan.folder(rate, mode)
            signals = mix(row, plan, rate=rate, mode=mode)
            for name, signal in signals.items():
                write(folder / plan.split / name / f"{row.id}.wav", signal, rate)
            for kind in plan.types:
                parts = components(kind, len(row.sources))
                snrs = [signal_to_noise(signals[part], signals[kind]) for part in parts]
                record[f"{rate} {mode} {kind}"] = [len(signals[kind]), *snrs]
    record["texts"] = [transcript(plan.librispeech / path) for path in row.sources]
    return record


def _files(plan: Plan, name: str, count: int) -> Iterator[Path]:
    """Every file of a mixture."""
    folders = {part for kind in plan.types for part in (kind, *components(kind, count))}
    for rate in plan.rates:
        for mode in plan.modes:
            for folder in sorted(folders):
                yield plan.folder(rate, mode) / plan.split / folder / f"{name}.wav"


def _keys(plan: Plan) -> list[str]:
    """The names under which a mixture's record holds its lengths and metrics."""
    return [f"{rate} {mode} {kind}" for rate in plan.rates for mode in plan.modes for kind in plan.types]


def _holds(plan: Plan, record: Mapping[str, Any], count: int) -> bool:
    """Whether a mixture's record and files have all that the plan asks for."""
    return set(_keys(plan)) <= record.keys() and all(path.is_file() for path in _files(plan, record["id"], count))


def _finished(plan: Plan, count: int) -> frozenset[str]:
    """The mixtures that an interrupted run finished and whose files are still there.

    A line that the interruption cut short, or that is damaged, is dropped.
    """
    path = plan.journal
    if not path.exists():
        return frozenset()
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    records = {line: _record(line) for line in lines}
    whole = [line for line, record in records.items() if record is not None and _holds(plan, record, count)]
    if len(whole) < len(lines):
        with atomic_path(path) as tmp:
            tmp.write_text("".join(whole), encoding="utf-8")
    return frozenset(json.loads(line)["id"] for line in whole)


def _record(line: str) -> dict[str, Any] | None:
    """A line of the journal; None where it was cut short or is damaged."""
    try:
        record = json.loads(line) if line.endswith("\n") else None
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("id"), str) else None


def _tables(plan: Plan, count: int) -> Iterator[tuple[Path, list[str], int, str, str, bool]]:
    """The CSV files of a plan: path, header, rate, mode, type, whether it is the one with the metrics."""
    for rate in plan.rates:
        for mode in plan.modes:
            for kind in plan.types:
                parts = components(kind, count)
                names = [f"source_{part[1:]}" if part != "noise" else "noise" for part in parts]
                folder = plan.folder(rate, mode) / "metadata"
                header = ["mixture_ID", "mixture_path", *(f"{n}_path" for n in names), "length"]
                header += [f"{n}_text" for n in names if n != "noise"]
                yield folder / f"mixture_{plan.split}_{kind}.csv", header, rate, mode, kind, False
                header = ["mixture_ID", *(f"{n}_SNR" for n in names)]
                yield folder / f"metrics_{plan.split}_{kind}.csv", header, rate, mode, kind, True


def _write_tables(plan: Plan, count: int) -> None:
    """Turn the journal into the corpus's tables; paths are relative to the folder of the mode."""
    for path, header, rate, mode, kind, metrics in _tables(plan, count):
        with (
            atomic_path(path) as tmp,
            tmp.open("w", newline="", encoding="utf-8") as file,
            plan.journal.open(encoding="utf-8") as lines,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            for line in lines:
                record = json.loads(line)
                length, *snrs = record[f"{rate} {mode} {kind}"]
                if metrics:
                    writer.writerow([record["id"], *snrs])
                    continue
                folders = (kind, *components(kind, count))
                paths = [f"{plan.split}/{folder}/{record['id']}.wav" for folder in folders]
                voices = sum(folder.startswith("s") for folder in folders)
                writer.writerow([record["id"], *paths, length, *record["texts"][:voices]])


def check_plan(plan: Plan) -> None:
    """Insist on known choices.

    Raises:
        OptionError: For an unknown split, type, mode or rate.
    """
    choices: Mapping[str, tuple[Sequence[Any], Sequence[Any]]] = {
        "split": ([plan.split], list(SPLITS)),
        "type": (plan.types, TYPES),
        "mode": (plan.modes, MODES),
        "rate": (plan.rates, RATES),
    }
    for what, (given, known) in choices.items():
        for value in given:
            if value not in known:
                raise OptionError(f"LibriMix has no {what} '{value}': choose from {', '.join(map(str, known))}")


def generate(plan: Plan, *, nj: int) -> int:
    """Generate a split; what an interrupted run has finished is kept.

    Args:
        plan: What is made from what.
        nj: Parallel processes.

    Returns:
        The number of mixtures of the split.

    Raises:
        DataError: When metadata, a source, a noise or a transcript is missing.
        RecipeError: When a file cannot be written.
    """
    check_plan(plan)
    total = count = 0
    for row in read_metadata(plan.metadata):
        total, count = total + 1, len(row.sources)
    if total == 0:
        raise DataError(f"{plan.metadata} holds no mixtures")
    for rate in plan.rates:
        for mode in plan.modes:
            for name in {part for kind in plan.types for part in (kind, *components(kind, count))}:
                folder = plan.folder(rate, mode) / plan.split / name
                folder.mkdir(parents=True, exist_ok=True)
                for leftover in folder.glob(".*.tmp"):
                    remove(leftover)
    finished = _finished(plan, count)
    tasks = ((row, plan) for row in read_metadata(plan.metadata) if row.id not in finished)
    records = parallel_map(_generate, tasks, nj=nj, total=total - len(finished), description=f"mixtures {plan.split}")
    try:
        # Closed before an error is told: the line of the progress bar ends there.
        with closing(records) as made, plan.journal.open("a", encoding="utf-8") as file:
            for record in made:
                file.write(json.dumps(record) + "\n")
                file.flush()
    except OSError as error:
        raise RecipeError(f"cannot write {plan.journal}: {error.strerror}") from error
    _write_tables(plan, count)
    return total
