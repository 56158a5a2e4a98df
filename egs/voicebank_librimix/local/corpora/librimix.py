"""LibriMix (Cosentino et al., 2020) as sets of utterances, from mixtures made here or by the official scripts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from local.common.audio import SAMPLE_RATE, inspect
from local.common.csv_table import read_csv
from local.common.errors import OptionError
from local.common.kaldi_dir import DataError, Utterance
from local.common.output import log
from local.common.parallel import parallel_map
from local.common.steps import Step
from local.corpora.corpus import (
    STAGE,
    Corpus,
    Estimate,
    Published,
    Spec,
    Work,
    dealt,
    published_hours,
    register_corpus,
    some,
    write_report,
)
from local.corpora.librimix_mixing import SPLITS, TYPES, Plan, components, generate, read_metadata
from local.corpora.librispeech import transcript, utterance_path
from local.corpora.mixing import read_snr, snr_class


def _read_metrics(path: Path) -> dict[str, float]:
    """The SNR of the first speaker of every mixture; empty where there is no such table."""
    if not path.is_file():
        return {}
    found = {}
    for number, row in read_csv(path, required=("mixture_id", "source_1_snr"), ignore=True):
        found[row["mixture_id"]] = read_snr(row["source_1_snr"], where=f"{path}, line {number}")
    return found


def _lengths(task: tuple[list[Path], int]) -> int:
    paths, rate = task
    frames = {path: inspect(path, rate=rate).frames for path in paths}
    if len(set(frames.values())) > 1:
        lengths = ", ".join(f"{path.parent.name} {count}" for path, count in frames.items())
        raise DataError(f"mixture {paths[0].stem}: its signals differ in length ({lengths} samples)")
    return next(iter(frames.values()))


def utterances(
    root: Path,
    split: str,
    *,
    librispeech: Path,
    type: str = "mix_single",
    mode: str = "max",
    rate: int = SAMPLE_RATE,
    input: str = "noisy",
    nj: int = 1,
) -> list[Utterance]:
    """List a split.

    Nothing but the files' names and LibriSpeech's transcripts is used, so that a corpus that was moved
    works, whatever paths its own tables hold.

    Args:
        root: E.g. Libri2Mix/, with wav16k/max and so on.
        split: train-100, train-360, dev or test.
        librispeech: The folder LibriSpeech/, for the transcripts.
        type: mix_single (one speaker and noise), mix_both or mix_clean.
        mode: "max"; "min" cuts sentences short, which makes transcripts wrong.
        rate: In Hz.
        input: "noisy" for the mixture, "clean" for the first speaker alone.
        nj: Parallel processes.

    Returns:
        The utterances, in order; the speaker is the first speaker's number.

    Raises:
        OptionError: For an unknown split or type.
        DataError: When files or transcripts are missing or lengths differ.
    """
    for value, known, what in ((split, tuple(SPLITS), "split"), (type, TYPES, "type")):
        if value not in known:
            raise OptionError(f"LibriMix has no {what} '{value}': choose from {', '.join(known)}")
    base = root / f"wav{rate // 1000}k" / mode
    folder = base / split / type
    names = sorted(path.stem for path in folder.glob("*.wav") if not path.name.startswith("."))
    if not names:
        raise DataError(f"{folder} holds no mixtures")
    snrs = _read_metrics(base / "metadata" / f"metrics_{split}_{type}.csv")
    if missing := sorted(snrs.keys() - set(names)):
        raise DataError(f"{folder} lacks {len(missing)} mixtures of its table, the first is {missing[0]}.wav")
    if without := [name for name in names if name not in snrs]:
        log(f"LibriMix {split}: {len(without)} of {len(names)} mixtures have no SNR in the tables beside them")
    parts = components(type, names[0].count("_") + 1)
    for part in parts:
        there = {path.stem for path in (base / split / part).glob("*.wav")}
        if missing := sorted(set(names) - there):
            raise DataError(f"{base / split / part} lacks {len(missing)} files, the first is {missing[0]}.wav")
    paths = {name: {part: base / split / part / f"{name}.wav" for part in parts} for name in names}
    tasks = [([folder / f"{name}.wav", *paths[name].values()], rate) for name in names]
    lengths = list(parallel_map(_lengths, tasks, nj=nj, description=f"check {split}"))
    voices = [part for part in parts if part != "noise"]
    found = []
    for name, samples in zip(names, lengths, strict=True):
        sources = name.split("_")[: len(voices)]
        texts = tuple(transcript(utterance_path(librispeech, SPLITS[split], source)) for source in sources)
        noise = paths[name].get("noise")
        quiet = input == "clean"
        category = "clean" if quiet else snr_class(snrs[name]) if name in snrs else type
        found.append(
            Utterance(
                id=name,
                speaker=name.split("-")[0],
                wav=str(paths[name]["s1"] if quiet else folder / f"{name}.wav"),
                references=tuple(str(paths[name][voice]) for voice in voices),
                texts=texts,
                noise=str(noise) if noise else None,
                category=category,
                samples=samples,
                rate=rate,
                details={"snr": f"{snrs[name]:.2f}"} if name in snrs and not quiet else {},
            )
        )
    return found


def _folders(plan: Plan, count: int) -> list[Path]:
    """The folders of a plan's mixtures and of what they are mixed from."""
    return [
        plan.folder(rate, mode) / plan.split / part
        for rate in plan.rates
        for mode in plan.modes
        for part in dict.fromkeys(p for kind in plan.types for p in (kind, *components(kind, count)))
    ]


def check_mixtures(plan: Plan, count: int, expected: int | None) -> dict[str, int]:
    """See that mixtures that a site has are all there.

    Args:
        plan: What is asked of them; nothing is made.
        count: Sources of a mixture.
        expected: Rows of the published metadata, where they are known.

    Returns:
        Files by folder.

    Raises:
        DataError: For a folder that lacks files, naming some that others have.
    """
    names = {f: {p.name for p in f.glob("*.wav") if not p.name.startswith(".")} for f in _folders(plan, count)}
    everything = set[str]().union(*names.values())
    for folder, there in names.items():
        if missing := everything - there:
            raise DataError(f"{folder} lacks {len(missing)} files: {some(missing)}")
        if len(there) != (len(there) if expected is None else expected) or not there:
            raise DataError(
                f"{folder} has {len(there)} mixtures of {expected or 'any'}: set LIBRIMIX to a complete copy"
            )
    return {str(folder): len(there) for folder, there in names.items()}


@register_corpus("wham_noise")
class WhamNoise(Published):
    """The noises of WHAM!."""

    folder = "wham_noise"
    variables = ("WHAM_NOISE",)

    def verify(self, root: Path, parts: Collection[str]) -> dict[str, int]:
        """Count the noises; speed-perturbed copies that the official scripts put beside them do not count."""
        found = {}
        for part, expected in self.entry.facts["utterances"].items():
            names = [path.name for path in (root / part).glob("*.wav") if not path.name.startswith(".")]
            originals = [name for name in names if not name.endswith(("sp08.wav", "sp12.wav"))]
            if len(originals) != expected:
                raise DataError(f"{root / part} has {len(originals)} noises of {expected}: unpack wham_noise.zip again")
            found[part] = len(originals)
        return found


@register_corpus("librimix_metadata")
class LibriMixMetadata(Published):
    """The published tables; the parts are their paths."""

    folder = "LibriMix/metadata"
    variables = ("LIBRIMIX_METADATA",)

    def verify(self, root: Path, parts: Collection[str]) -> dict[str, int]:
        """Count the rows."""
        found = {}
        for name, expected in self.entry.facts["utterances"].items():
            if parts and name not in parts:
                continue
            rows = sum(1 for _ in read_metadata(root / name))
            if rows != expected:
                raise DataError(f"{root / name} has {rows} rows of {expected}")
            found[name] = rows
        return found


@register_corpus("librimix")
class LibriMix(Corpus):
    """Mixtures made here, or those that a site has; the preset may give the number of `sources`."""

    variables = ("LIBRIMIX",)
    settings = ("sources",)

    @property
    def _sources(self) -> int:
        return self.options.get("sources", 2)

    @property
    def root(self) -> Path:
        """Where mixtures are, or are made."""
        return self.site or self.made / f"Libri{self._sources}Mix"

    def _table(self, split: str) -> str:
        return f"Libri{self._sources}Mix/libri{self._sources}mix_{SPLITS.get(split, split)}.csv"

    def requires(self, spec: Spec) -> dict[str, frozenset[str]]:
        """LibriSpeech for its transcripts, and what mixtures are made from."""
        split: str = spec["split"]
        parts = {"librispeech": frozenset([SPLITS.get(split, split)])}
        if self.site:
            return parts
        return {**parts, "wham_noise": frozenset(), "librimix_metadata": frozenset([self._table(split)])}

    def prepare(self, specs: Collection[Spec]) -> Iterable[Work]:
        """A step per split: mixtures that the site has are looked through, others are made."""
        for (split,) in dealt(specs, "split"):
            plans = self._plans([spec for spec in specs if spec["split"] == split], split)
            yield self._look_through(split, plans) if self.site else self._mix(split, plans)

    def _plans(self, specs: Collection[Spec], split: str) -> list[Plan]:
        """What is mixed of a split: what its sets ask for, one plan per mode and rate."""
        asked: dict[tuple[str, int], dict[str, None]] = {}
        for spec in specs:
            key = (spec.get("mode", "max"), spec.get("rate", SAMPLE_RATE))
            asked.setdefault(key, {})[spec.get("type", "mix_single")] = None
        return [
            Plan(
                metadata=self.catalogue.corpus("librimix_metadata").root / self._table(split),
                librispeech=self.catalogue.corpus("librispeech").root,
                wham=self.catalogue.corpus("wham_noise").root,
                out=self.root,
                split=split,
                types=tuple(sorted(types)),
                modes=(mode,),
                rates=(rate,),
            )
            for (mode, rate), types in sorted(asked.items())
        ]

    def _look_through(self, split: str, plans: Sequence[Plan]) -> Work:
        report = f"report_{split}.json"
        settings = {"root": self.root, "asked": [[*p.types, *p.modes, *p.rates] for p in plans]}
        step = Step(f"found_{split}", stage=STAGE, out=self.made, settings=settings, outputs=(report,))

        def verify() -> None:
            facts = self.catalogue.published("librimix_metadata").entry.facts
            found: dict[str, int] = {}
            for plan in plans:
                found |= check_mixtures(plan, self._sources, facts["utterances"].get(self._table(split)))
            write_report(step.out / report, found)

        return step, verify

    def _mix(self, split: str, plans: Sequence[Plan]) -> Work:
        made = [*(folder for plan in plans for folder in _folders(plan, self._sources)), *(p.journal for p in plans)]
        step = Step(
            f"mix_{split}",
            stage=STAGE,
            out=self.made,
            inputs=self.catalogue.sources(self.requires({"split": split})),
            settings={
                "asked": [[*plan.types, *plan.modes, *plan.rates] for plan in plans],
                "sources": self._sources,
            },
            outputs=tuple(sorted({str(path.relative_to(self.made)) for path in made})),
        )

        def mix() -> None:
            for plan in plans:
                generate(plan, nj=self.nj)

        return step, mix

    def utterances(
        self, *, split: str, type: str = "mix_single", mode: str = "max", rate: int = SAMPLE_RATE, input: str = "noisy"
    ) -> list[Utterance]:
        """List a split, see `utterances`."""
        librispeech = self.catalogue.corpus("librispeech").root
        return utterances(
            self.root, split, librispeech=librispeech, type=type, mode=mode, rate=rate, input=input, nj=self.nj
        )

    def estimate(self, spec: Spec, hours: float | None = None) -> Estimate:
        """By the hours of the published table."""
        if hours is None:
            hours = published_hours(self.catalogue.published("librimix_metadata").entry, spec["split"])
        signals = 1 + len(components(spec.get("type", "mix_single"), self._sources))
        return Estimate(hours, made=signals * hours * 3600 * spec.get("rate", SAMPLE_RATE) * 2, signals=signals)
