"""Noise-augmented LibriSpeech as in NR-SSFT (see docs), but drawn over a sorted list and written to a manifest.

Twelve seen and six unseen environments of DEMAND, SNR 20, 10 or 5 dB from the energies of whole utterances,
a random start in the recording, no normalization afterwards.
"""

from __future__ import annotations

import csv
import dataclasses
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from espnet_plugins.atomic import remove
from local.common.audio import SAMPLE_RATE, AudioError, inspect, read, write
from local.common.csv_table import read_csv
from local.common.errors import OptionError
from local.common.kaldi_dir import DataError, Utterance
from local.common.output import atomic_path
from local.common.parallel import parallel_map
from local.common.steps import Step
from local.corpora.corpus import (
    FLAC,
    PCM_HOUR,
    STAGE,
    Corpus,
    Estimate,
    Spec,
    Work,
    dealt,
    published_hours,
    register_corpus,
)
from local.corpora.demand import SEEN, UNSEEN, recording_16k
from local.corpora.librispeech import files, transcript
from local.corpora.mixing import decibels

SNRS = (20.0, 10.0, 5.0)
KINDS = {"seen": SEEN, "unseen": UNSEEN}
_COLUMNS = ("utterance", "source", "environment", "start", "snr", "seed")


@dataclasses.dataclass(frozen=True)
class Draw:
    """What is added to an utterance: a piece of a recording from a start sample on, at an SNR in dB."""

    source: str
    environment: str
    start: int
    snr: float

    @property
    def utterance(self) -> str:
        """The utterance's id."""
        return Path(self.source).stem


@dataclasses.dataclass(frozen=True)
class _Job:
    clean: Path
    noise: Path
    draw: Draw
    target: Path


def set_name(part: str, kind: str) -> str:
    """The folder of a set, e.g. train-clean-100_seen_noisy."""
    if kind not in KINDS:
        raise OptionError(f"noisy LibriSpeech is '{kind}': choose from {', '.join(KINDS)}")
    return f"{part}_{kind}_noisy"


def draw(lengths: Mapping[str, int], recordings: Mapping[str, int], *, name: str, seed: int) -> list[Draw]:
    """Draw noise for every utterance; the same arguments give the same result everywhere.

    Args:
        lengths: Samples by source path.
        recordings: Samples by environment.
        name: The set's, so that sets differ.
        seed: The recipe's.

    Returns:
        A draw per utterance, sorted by path.

    Raises:
        DataError: When an utterance is longer than a recording.
    """
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    environments = sorted(recordings)
    drawn = []
    for source in sorted(lengths):
        environment = environments[rng.integers(len(environments))]
        room = recordings[environment] - lengths[source]
        if room < 0:
            raise DataError(f"{source} is longer than the recording of {environment}")
        # The last possible start is one of them.
        start, snr = int(rng.integers(room + 1)), SNRS[rng.integers(len(SNRS))]
        drawn.append(Draw(source, environment, start, snr))
    return drawn


def add_noise(clean: np.ndarray, noise: np.ndarray, snr: float) -> np.ndarray:
    """Add noise at an SNR of whole-utterance energies, without normalizing the sum.

    Args:
        clean: Shape (T,).
        noise: Shape (T,).
        snr: In dB.

    Returns:
        Shape (T,).
    """
    energy = float(np.sum(clean**2, dtype=np.float64)), float(np.sum(noise**2, dtype=np.float64))
    return clean + noise * np.float32(np.sqrt(energy[0] / energy[1]) * decibels(-snr))


def _make(job: _Job) -> None:
    """Write one noisy file unless an interrupted run did."""
    if job.target.exists():
        return
    clean, _ = read(job.clean, rate=SAMPLE_RATE)
    noise, _ = soundfile.read(str(job.noise), frames=len(clean), start=job.draw.start, dtype="float32")
    for path, signal in ((job.clean, clean), (job.noise, noise)):
        if not signal.any():
            start = f" from sample {job.draw.start} on" if path is job.noise else ""
            raise AudioError(f"{job.target}: {path} is silent{start}: there is no SNR of {job.draw.snr:g} dB")
    write(job.target, add_noise(clean, noise, job.draw.snr))


def _frames(path: Path) -> int:
    return inspect(path, rate=SAMPLE_RATE).frames


def generate(
    librispeech: Path, recordings: Mapping[str, Path], out: Path, *, part: str, kind: str, seed: int, nj: int
) -> int:
    """Make a noisy copy of a part of LibriSpeech; what an interrupted run finished is kept.

    Args:
        librispeech: The folder LibriSpeech/.
        recordings: 16 kHz mono files by environment; those of the kind must be among them.
        out: Gets `<part>_<kind>_noisy/` with the tree of the part, its transcripts and manifest.csv.
        part: E.g. "train-clean-100".
        kind: "seen" or "unseen".
        seed: The same seed gives the same files everywhere.
        nj: Parallel processes.

    Returns:
        The number of utterances.
    """
    name = set_name(part, kind)
    paths = files(librispeech, part)
    frames = parallel_map(_frames, paths, nj=nj, description=f"lengths {part}")
    lengths = {p.relative_to(librispeech).as_posix(): n for p, n in zip(paths, frames, strict=True)}
    sizes = {environment: inspect(recordings[environment], rate=SAMPLE_RATE).frames for environment in KINDS[kind]}
    drawn = draw(lengths, sizes, name=name, seed=seed)
    target = out / name
    for folder in sorted({path.parent for path in paths}):
        copy = target / folder.relative_to(librispeech / part)
        copy.mkdir(parents=True, exist_ok=True)
        for leftover in copy.glob(".*.tmp"):
            remove(leftover)
        for text in folder.glob("*.trans.txt"):
            with atomic_path(copy / text.name) as tmp:
                tmp.write_bytes(text.read_bytes())
    _write_manifest(target / "manifest.csv", drawn, seed)
    jobs = [
        _Job(librispeech / d.source, recordings[d.environment], d, target / Path(d.source).relative_to(part))
        for d in drawn
    ]
    for _ in parallel_map(_make, jobs, nj=nj, description=name):
        pass
    return len(jobs)


def _write_manifest(path: Path, drawn: Sequence[Draw], seed: int) -> None:
    with atomic_path(path) as tmp, tmp.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for d in drawn:
            writer.writerow([d.utterance, d.source, d.environment, d.start, f"{d.snr:g}", seed])


def _inspect_pair(task: tuple[Path, Path]) -> int:
    clean, noisy = task
    frames = inspect(clean, rate=SAMPLE_RATE).frames
    if inspect(noisy, rate=SAMPLE_RATE).frames != frames:
        raise DataError(f"{noisy} is not as long as {clean}")
    return frames


def utterances(root: Path, librispeech: Path, *, part: str, kind: str, nj: int = 1) -> list[Utterance]:
    """List a noisy set with its clean references.

    Args:
        root: Where `generate` wrote.
        librispeech: The folder LibriSpeech/.
        part: E.g. "test-clean".
        kind: "seen" or "unseen".
        nj: Parallel processes.

    Returns:
        The utterances, with environment, SNR and start sample among their details.

    Raises:
        DataError: When the manifest is missing or a pair differs in length.
    """
    name = set_name(part, kind)
    manifest = root / name / "manifest.csv"
    if not manifest.is_file():
        raise DataError(f"{manifest} is missing: stage 1 makes it")
    rows, pairs = [], []
    for number, row in read_csv(manifest, required=_COLUMNS):
        source = Path(row["source"])
        if not source.is_relative_to(part) or ".." in source.parts:
            raise DataError(f"{manifest}, line {number}: '{source}' is no file of {part}")
        rows.append(row)
        pairs.append((librispeech / source, root / name / source.relative_to(part)))
    frames = parallel_map(_inspect_pair, pairs, nj=nj, description=f"check {name}")
    return [
        Utterance(
            id=row["utterance"],
            speaker=row["utterance"].split("-")[0],
            wav=str(noisy),
            references=(str(clean),),
            texts=(transcript(clean),),
            category=f"{row['environment']}_{row['snr']}dB",
            samples=samples,
            rate=SAMPLE_RATE,
            details={"noise": row["environment"], "snr": row["snr"], "start": row["start"]},
        )
        for row, (clean, noisy), samples in zip(rows, pairs, frames, strict=True)
    ]


@register_corpus("noisy_librispeech")
class NoisyLibriSpeech(Corpus):
    """Noise-augmented LibriSpeech; the preset gives the `seed`."""

    settings = ("seed",)

    @property
    def root(self) -> Path:
        """Where it is made."""
        return self.made

    def requires(self, spec: Spec) -> dict[str, frozenset[str]]:
        """Speech and noise."""
        return {"librispeech": frozenset([spec["part"]]), "demand": frozenset(KINDS.get(spec["kind"], ()))}

    def prepare(self, specs: Collection[Spec]) -> Iterable[Work]:
        """A step per part and kind."""
        for part, kind in dealt(specs, "part", "kind"):
            name = set_name(part, kind)
            step = Step(
                name,
                stage=STAGE,
                out=self.made,
                inputs=self.catalogue.sources(self.requires({"part": part, "kind": kind})),
                settings={"seed": self._seed},
                outputs=(name,),
            )
            yield step, partial(self._add_noise, part, kind)

    @property
    def _seed(self) -> int:
        return self.options.get("seed", 0)

    def _add_noise(self, part: str, kind: str) -> None:
        recordings = self.catalogue.corpus("demand").root
        kept = self.catalogue.made / "demand_16k"
        generate(
            self.catalogue.corpus("librispeech").root,
            {name: recording_16k(recordings, name, made=kept) for name in KINDS[kind]},
            self.root,
            part=part,
            kind=kind,
            seed=self._seed,
            nj=self.nj,
        )

    def utterances(self, *, part: str, kind: str) -> list[Utterance]:
        """List a set, see `utterances`."""
        return utterances(self.root, self.catalogue.corpus("librispeech").root, part=part, kind=kind, nj=self.nj)

    def estimate(self, spec: Spec, hours: float | None = None) -> Estimate:
        """As long as the clean part."""
        if hours is None:
            hours = published_hours(self.catalogue.published("librispeech").entry, spec["part"])
        return Estimate(hours, made=hours * PCM_HOUR * FLAC)
