"""Spoken digits by people as connected strings in noise, from the Free Spoken Digit Dataset (Jakobovski et al.)."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from espnet_plugins.atomic import remove
from local.common.audio import SAMPLE_RATE, read, resample, rms, to_pcm16, write
from local.common.errors import OptionError
from local.common.kaldi_dir import DataError, Utterance
from local.common.output import log
from local.common.parallel import parallel_map
from local.common.steps import Step
from local.corpora import csv_corpus
from local.corpora.corpus import PCM_HOUR, STAGE, Corpus, Estimate, Published, Spec, Work, register_corpus, some
from local.corpora.csv_corpus import OPTIONAL, REQUIRED
from local.corpora.mixing import FLOOR_DB, LEVEL_DB, Mixing, conditions, decibels, mix, named_rng
from local.corpora.synthetic.environments import record_environments
from local.corpora.synthetic.grammar import DIGITS
from local.corpora.synthetic.noises import SEEN, UNSEEN

# Raised with every change that gives other audio for the same settings.
VERSION = 3
# Average length of a string, in seconds.
_SECONDS = 2.85
_NAME = re.compile(r"(\d)_([a-z]+)_(\d+)")


@dataclasses.dataclass(frozen=True)
class _String:
    """Recordings spoken one after another, and the file they make."""

    name: str
    digits: tuple[Path, ...]
    target: Path
    speed: float
    seed: int

    @property
    def text(self) -> str:
        """What is said."""
        return " ".join(DIGITS[int(path.name[0])] for path in self.digits)


def recordings(root: Path) -> dict[str, list[Path]]:
    """Find the recordings of every speaker.

    Args:
        root: The data set, with recordings/<digit>_<speaker>_<number>.wav.

    Returns:
        Files by speaker, sorted by digit and number.

    Raises:
        DataError: When there are none, or a speaker lacks a digit.
    """
    found: dict[str, dict[tuple[int, int], Path]] = {}
    for path in (root / "recordings").glob("*.wav"):
        if match := _NAME.fullmatch(path.stem):
            found.setdefault(match[2], {})[int(match[1]), int(match[3])] = path
    if not found:
        raise DataError(f"{root}/recordings holds no <digit>_<speaker>_<number>.wav: give the data set with --fsdd")
    for speaker, files in found.items():
        if missing := [digit for digit in range(10) if not any(key[0] == digit for key in files)]:
            raise DataError(f"{root}/recordings: speaker {speaker} has no recording of {DIGITS[missing[0]]}")
    return {speaker: [files[key] for key in sorted(files)] for speaker, files in sorted(found.items())}


def split_speaker(paths: Sequence[Path], *, dev_share: float) -> tuple[list[Path], list[Path]]:
    """Keep the first recordings of every digit for development.

    Args:
        paths: A training speaker's recordings.
        dev_share: The part to keep, between 0 and 1.

    Returns:
        Recordings for training and for development.
    """
    by_digit: dict[str, list[Path]] = {}
    for path in paths:
        by_digit.setdefault(path.name[0], []).append(path)
    train, dev = [], []
    for same in by_digit.values():
        count = max(1, round(dev_share * len(same)))
        dev += same[:count]
        train += same[count:]
    return train, dev


def draw_strings(paths: Sequence[Path], count: int, rng: np.random.Generator) -> list[tuple[Path, ...]]:
    """Draw strings of three to seven recordings; every recording comes once before any comes again.

    Args:
        paths: Recordings of one speaker.
        count: How many strings.
        rng: Where the choice comes from.

    Returns:
        `count` tuples of recordings.
    """
    pool: list[Path] = []
    strings = []
    for _ in range(count):
        size = int(rng.integers(3, 8))
        while len(pool) < size:
            pool += [paths[i] for i in rng.permutation(len(paths))]
        strings.append(tuple(pool[:size]))
        pool = pool[size:]
    return strings


def _digit(path: Path, *, speed: float = 1.0) -> np.ndarray:
    """A recording at the rate of the models, without its offset, spoken and pitched higher by a factor."""
    signal, rate = read(path)
    return resample(signal - signal.mean(), round(rate * speed), SAMPLE_RATE)


def _speak(job: _String) -> int:
    """Write a string: recordings at one level, short pauses, a faint floor; gives its length in samples."""
    rng = named_rng(job.seed, job.name)

    def pause(least: float, most: float) -> np.ndarray:
        return np.zeros(int(rng.uniform(least, most) * SAMPLE_RATE), dtype=np.float32)

    pieces = [pause(0.1, 0.3)]
    for path in job.digits:
        digit = _digit(path, speed=job.speed)
        pieces += [digit * (decibels(LEVEL_DB) / max(rms(digit), 1e-4)), pause(0.03, 0.15)]
    joined = np.concatenate([*pieces, pause(0.1, 0.2)]) * decibels(rng.uniform(-2, 2))
    floor = decibels(FLOOR_DB) * rng.standard_normal(len(joined), dtype=np.float32)
    write(job.target, to_pcm16(joined + floor))
    return len(joined)


def _plan(
    parts: Mapping[str, Mapping[str, list[Path]]], settings: Mapping[str, Any], out: Path
) -> dict[str, list[_String]]:
    """Strings of every part, shared evenly among its speakers; those for training at several speeds in turn."""
    seed = settings["seed"]
    plan: dict[str, list[_String]] = {}
    for part, speakers in parts.items():
        (out / part).mkdir(parents=True)
        plan[part] = []
        speeds = settings["speeds"] if part == "train" else (1.0,)
        for i, (speaker, paths) in enumerate(speakers.items()):
            count = settings[part] // len(speakers) + (i < settings[part] % len(speakers))
            for j, digits in enumerate(draw_strings(paths, count, named_rng(seed, f"{part} {speaker}"))):
                name = f"{speaker}_{part}{j:04d}"
                target = out / part / f"{name}.wav"
                plan[part].append(_String(name, digits, target, speeds[j % len(speeds)], seed))
    return plan


def _write_csv(path: Path, strings: Iterable[_String], noisy: Mapping[str, tuple[Path, str, float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*REQUIRED, *OPTIONAL])
        for string in strings:
            target, noise, snr = noisy[string.name]
            relative = [p.relative_to(path.parent).as_posix() for p in (string.target, target)]
            speaker = string.name.rsplit("_", 1)[0]
            writer.writerow([string.name, *relative, string.text, speaker, noise, f"{snr:g}"])


def prepare(root: Path, out: Path, settings: Mapping[str, Any], *, nj: int) -> None:
    """Make strings and their noisy versions, with a CSV per set as `local.corpora.csv_corpus` reads it.

    Args:
        root: The data set, with recordings/.
        out: Gets train.csv, dev.csv, test_seen.csv, test_unseen.csv and test_hard.csv, and their audio.
        settings: `test_speakers` (all others train), `train`, `dev` and `test` (strings), `snr` (dB of
            train, test and hard), `speeds` (factors of speed and pitch of the training strings, after Ko et
            al., "Audio augmentation for speech recognition", 2015), `noise_seconds`, `dev_share`, `seed`.
        nj: Parallel processes.

    Raises:
        OptionError: When a test speaker is unknown or nobody is left to train on.
        DataError: When recordings are missing.
    """
    seed, found = settings["seed"], recordings(root)
    test_speakers = settings["test_speakers"]
    if unknown := [speaker for speaker in test_speakers if speaker not in found]:
        raise OptionError(f"test speaker '{unknown[0]}' is not among {', '.join(found)}")
    training = [speaker for speaker in found if speaker not in test_speakers]
    if not test_speakers or not training:
        raise OptionError("there must be at least one speaker to test on and one to train on")
    for name in ("train", "dev", "test", "noise", "noisy"):
        remove(out / name)
    halves = {speaker: split_speaker(found[speaker], dev_share=settings["dev_share"]) for speaker in training}
    parts = {
        "train": {speaker: half[0] for speaker, half in halves.items()},
        "dev": {speaker: half[1] for speaker, half in halves.items()},
        "test": {speaker: found[speaker] for speaker in test_speakers},
    }
    plan = _plan(parts, settings, out)
    strings = [string for part in plan.values() for string in part]
    total = sum(parallel_map(_speak, strings, nj=nj, description="digit strings"))

    talkers = [np.concatenate([_digit(path) for path in paths]) for paths in parts["train"].values()]
    paths = {name: out / "noise" / name / "ch01.wav" for name in SEEN + UNSEEN}
    record_environments(paths, talkers, seconds=settings["noise_seconds"], rate=SAMPLE_RATE, seed=seed, nj=nj)

    snrs = settings["snr"]
    # set, strings, noises, SNRs, part of the noise recordings
    sets = (
        ("train", "train", SEEN, snrs["train"], "train"),
        ("dev", "dev", SEEN, snrs["train"], "train"),
        ("test_seen", "test", SEEN, snrs["test"], "test"),
        ("test_unseen", "test", UNSEEN, snrs["test"], "test"),
        ("test_hard", "test", SEEN + UNSEEN, snrs["hard"], "test"),
    )
    jobs = []
    for name, part, noises, levels, region in sets:
        folder = out / "noisy" / name
        folder.mkdir(parents=True)
        by_name = {string.name: string for string in plan[part]}
        noisy = {}
        for stem, (noise, snr) in conditions(list(by_name), noises, levels, seed=seed).items():
            noisy[stem] = (folder / f"{stem}.wav", noise, snr)
            jobs.append(Mixing(by_name[stem].target, paths[noise], snr, region, noisy[stem][0], seed))
        _write_csv(out / f"{name}.csv", plan[part], noisy)
    for _ in parallel_map(mix, jobs, nj=nj, description="noisy strings"):
        pass
    log(f"digits: {len(strings)} strings, {total / SAMPLE_RATE / 60:.1f} minutes, test on {', '.join(test_speakers)}")


@register_corpus("fsdd")
class FreeSpokenDigits(Published):
    """The recordings."""

    folder = "fsdd"
    variables = ("FSDD",)

    def verify(self, root: Path, parts: Collection[str]) -> dict[str, int]:
        """See that each speaker has every recording of every digit."""
        found = recordings(root)
        for speaker, paths in found.items():
            numbers = range(self.entry.facts["recordings"])
            expected = {f"{digit}_{speaker}_{i}.wav" for digit in range(10) for i in numbers}
            if missing := expected - {path.name for path in paths}:
                raise DataError(f"{root}/recordings lacks {len(missing)} files of {speaker}: {some(missing)}")
        return {speaker: len(paths) for speaker, paths in found.items()}


@register_corpus("digits")
class DigitStrings(Corpus):
    """Strings of digits with noise, as the preset says; see `prepare`."""

    settings = (
        *("seed", "test_speakers", "train", "dev", "test"),
        *("speeds", "dev_share", "snr", "noise_seconds"),
    )

    @property
    def options(self) -> dict[str, Any]:
        """What the preset says about the corpus.

        Raises:
            OptionError: For a number of strings that is none.
        """
        options = super().options
        for key in ("train", "dev", "test"):
            count = options.get(key, 0)
            if isinstance(count, bool) or not isinstance(count, int) or count < 0:
                raise OptionError(f"corpora: {self.name}: {key}: {count!r} is not accepted; give a whole number")
        return options

    @property
    def root(self) -> Path:
        """Where it is made."""
        return self.made

    def requires(self, spec: Spec) -> dict[str, frozenset[str]]:
        """The recordings."""
        return {"fsdd": frozenset()}

    def prepare(self, specs: Collection[Spec]) -> Iterable[Work]:
        """One step for all sets."""
        settings = {**self.options, "v": VERSION}
        inputs = self.catalogue.sources({"fsdd": frozenset()})
        step = Step("digits", stage=STAGE, out=self.made, inputs=inputs, settings=settings)
        yield step, lambda: prepare(self.catalogue.corpus("fsdd").root, self.root, self.options, nj=self.nj)

    def utterances(self, *, part: str, input: str = "noisy") -> list[Utterance]:
        """List a set by its table."""
        return csv_corpus.utterances(self.root / f"{part}.csv", input=input, nj=self.nj)

    def estimate(self, spec: Spec, hours: float | None = None) -> Estimate:
        """By the number of strings."""
        count = self.options.get(spec["part"].split("_")[0], 0)
        hours = count * _SECONDS / 3600
        return Estimate(hours, made=2 * hours * PCM_HOUR, utterances=count)
