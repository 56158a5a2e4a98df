"""Stage 1: corpora are found and verified, downloaded, synthesised or mixed."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from local.common.recipe import Recipe, add_common_arguments
from local.common.sets import sets_in_use
from local.common.steps import OptionError, Step, atomic_path, log, run_main
from local.corpora import csv_corpus, demand, fsdd, noisy_librispeech
from local.corpora.acquire import Place, acquire
from local.corpora.librimix_mixing import SPLITS, Plan, components, generate
from local.corpora.registry import Entry, load_registry
from local.corpora.synthetic import synthesis
from local.corpora.verify import CHECKS, mixtures

STAGE = 1

# Corpora of the registry -> their folders, below --downloads or below the embedded corpus.
FOLDERS = {
    "voicebank_demand": "voicebank_demand",
    "librispeech": "LibriSpeech",
    "wham_noise": "wham_noise",
    "librimix_metadata": "LibriMix/metadata",
    "demand": "demand",
    "fsdd": "fsdd",
}
# The variables of db.sh.
VARIABLES = tuple(corpus.upper() for corpus in (*FOLDERS, "librimix", "custom"))
# What sets can be taken from.
CORPORA = ("voicebank_demand", "librimix", "librispeech", "noisy_librispeech", "digits", "custom")

Work = tuple[Step, Callable[[], Any]]


@dataclasses.dataclass(frozen=True)
class Corpora:
    """Where the corpora of one invocation lie and what stage 1 has to do for them.

    What is needed follows from the sets that the preset uses. A section `mini` among the preset's `corpora`
    means that the sources are synthesised; otherwise they are what db.sh names, or lie below --downloads.

    Args:
        recipe: The invocation.
        accepted: Whether licences are accepted beforehand.
    """

    recipe: Recipe
    accepted: bool = False

    @cached_property
    def sets(self) -> dict[str, dict[str, Any]]:
        """The sets in use."""
        sets = sets_in_use(self.recipe.preset)
        for name, spec in sets.items():
            if spec.get("corpus") not in CORPORA:
                raise OptionError(
                    f"set '{name}': unknown corpus '{spec.get('corpus')}', choose from {', '.join(CORPORA)}"
                )
        return sets

    @cached_property
    def registry(self) -> dict[str, Entry]:
        """The archives of every corpus."""
        return load_registry(self.recipe.preset.get("registry"))

    @property
    def made(self) -> Path:
        """Where everything that is synthesised or mixed goes, and what is noted about the rest."""
        return self.recipe.datadir / "corpora"

    def options(self, corpus: str) -> dict[str, Any]:
        """What the preset says about a corpus."""
        return dict(self.recipe.preset.get("corpora", {}).get(corpus) or {})

    @property
    def synthetic(self) -> bool:
        """Whether the sources are synthesised."""
        return bool(self.options("mini"))

    def place(self, corpus: str) -> Place:
        """Where a corpus of the registry is looked for and put."""
        site = os.environ.get(corpus.upper())
        folder = FOLDERS[corpus]
        return Place(
            shared=Path(site) if site else self.recipe.downloads / folder,
            own=self.made / corpus / folder,
            archives=self.recipe.downloads,
            fixed=bool(site),
        )

    def root(self, corpus: str) -> Path:
        """The folder of a corpus."""
        if corpus in FOLDERS:
            return self.made / "mini" / FOLDERS[corpus] if self.synthetic else self.place(corpus).folder
        if corpus == "librimix":
            count = self.options("librimix").get("sources", 2)
            return Path(os.environ.get("LIBRIMIX") or self.made / "librimix" / f"Libri{count}Mix")
        if corpus == "custom":
            return Path(os.environ.get("CUSTOM") or self.recipe.downloads / "custom")
        return self.made / corpus

    def sources(self, spec: Mapping[str, Any]) -> dict[str, frozenset[str]]:
        """The corpora of the registry that a set needs, with the parts of each; no parts means all."""
        kind = spec["corpus"]
        if kind == "voicebank_demand":
            return {"voicebank_demand": frozenset()}
        if kind == "librispeech":
            return {"librispeech": frozenset([spec["part"]])}
        if kind == "noisy_librispeech":
            environments = frozenset(noisy_librispeech.KINDS.get(spec["kind"], ()))
            return {"librispeech": frozenset([spec["part"]]), "demand": environments}
        if kind == "librimix":
            parts = {"librispeech": frozenset([SPLITS.get(spec["split"], spec["split"])])}
            if os.environ.get("LIBRIMIX"):
                return parts
            return {**parts, "wham_noise": frozenset(), "librimix_metadata": frozenset([self._metadata(spec["split"])])}
        return {"fsdd": frozenset()} if kind == "digits" else {}

    def _metadata(self, split: str) -> str:
        count = self.options("librimix").get("sources", 2)
        return f"Libri{count}Mix/libri{count}mix_{SPLITS.get(split, split)}.csv"

    def needed(self) -> dict[str, frozenset[str]]:
        """All corpora of the registry that the sets in use need, with their parts."""
        needed: dict[str, frozenset[str]] = {}
        for spec in self.sets.values():
            for corpus, parts in self.sources(spec).items():
                needed[corpus] = needed.get(corpus, frozenset()) | parts
        return needed

    def _source_done(self, corpus: str) -> Path:
        name = "mini" if self.synthetic else corpus
        return self.made / name / f".{name}.done"

    def inputs(self, spec: Mapping[str, Any]) -> dict[str, tuple[Path, int]]:
        """What stage 2 needs before it can list a set: role -> (file, stage that makes it)."""
        kind = spec["corpus"]
        found = {corpus: (self._source_done(corpus), STAGE) for corpus in self.sources(spec)}
        made = {
            "librimix": lambda: self._librimix(spec["split"])[0],
            "noisy_librispeech": lambda: self._noisy_step(spec["part"], spec["kind"]),
            "digits": self._digits_step,
            "custom": self._custom_step,
        }
        if kind in made:
            found[kind] = (made[kind]().done, STAGE)
        return found

    def work(self) -> Iterator[Work]:
        """The steps of stage 1 in order, each with what it does."""
        needed = self.needed()
        if self.synthetic:
            yield self._synthesis()
        else:
            for corpus, parts in needed.items():
                yield self._source(corpus, parts)
        kinds = {spec["corpus"] for spec in self.sets.values()}
        for split in dict.fromkeys(s["split"] for s in self.sets.values() if s["corpus"] == "librimix"):
            yield self._librimix(split)
        pairs = [(s["part"], s["kind"]) for s in self.sets.values() if s["corpus"] == "noisy_librispeech"]
        for part, kind in dict.fromkeys(pairs):
            yield self._noisy_step(part, kind), lambda part=part, kind=kind: self._add_noise(part, kind)
        if "digits" in kinds:
            yield self._digits_step(), self._make_digits
        if "custom" in kinds:
            yield self._custom_step(), self._check_custom

    def _synthesis(self) -> Work:
        settings = self.options("mini")
        step = Step("mini", stage=STAGE, out=self.made / "mini", settings={**settings, "v": synthesis.VERSION})
        return step, lambda: synthesis.synthesise(step.out, settings, nj=self.recipe.nj)

    def _source(self, corpus: str, parts: frozenset[str]) -> Work:
        place = self.place(corpus)
        settings = {"folder": place.shared, "parts": sorted(parts), "facts": self.registry[corpus].facts}
        step = Step(corpus, stage=STAGE, out=self.made / corpus, settings=settings, outputs=("report.json",))

        def verify() -> None:
            folder = acquire(self.registry[corpus], place, parts, accepted=self.accepted)
            counts = CHECKS[corpus](folder, self.registry[corpus].facts, parts)
            log(f"{corpus}: complete, {sum(counts.values())} entries in {folder}")
            with atomic_path(step.out / "report.json") as tmp:
                tmp.write_text(json.dumps({"folder": str(folder), "found": counts}, indent=1) + "\n")

        return step, verify

    def _plans(self, split: str) -> list[Plan]:
        """What is mixed of a split: what the sets in use ask for, one plan per mode and rate."""
        asked: dict[tuple[str, int], dict[str, None]] = {}
        for spec in self.sets.values():
            if spec["corpus"] == "librimix" and spec["split"] == split:
                key = (spec.get("mode", "max"), spec.get("rate", 16000))
                asked.setdefault(key, {})[spec.get("type", "mix_single")] = None
        return [
            Plan(
                metadata=self.root("librimix_metadata") / self._metadata(split),
                librispeech=self.root("librispeech"),
                wham=self.root("wham_noise"),
                out=self.root("librimix"),
                split=split,
                types=tuple(sorted(types)),
                modes=(mode,),
                rates=(rate,),
            )
            for (mode, rate), types in sorted(asked.items())
        ]

    def _librimix(self, split: str) -> Work:
        """Mixtures that the site has are looked through, others are made."""
        if not os.environ.get("LIBRIMIX"):
            return self._mixtures_step(split), lambda: self._mix(split)
        plans = self._plans(split)
        settings = {"root": self.root("librimix"), "asked": [[*p.types, *p.modes, *p.rates] for p in plans]}
        step = Step(
            f"found_{split}",
            stage=STAGE,
            out=self.made / "librimix",
            settings=settings,
            outputs=(f"report_{split}.json",),
        )

        def verify() -> None:
            count = self.options("librimix").get("sources", 2)
            expected = self.registry["librimix_metadata"].facts["utterances"].get(self._metadata(split))
            found: dict[str, int] = {}
            for plan in plans:
                found |= mixtures(plan, count, expected)
            with atomic_path(step.out / f"report_{split}.json") as tmp:
                tmp.write_text(json.dumps(found, indent=1) + "\n")

        return step, verify

    def _mixtures_step(self, split: str) -> Step:
        spec = {"corpus": "librimix", "split": split}
        plans = self._plans(split)
        count = self.options("librimix").get("sources", 2)
        folders = {
            plan.folder(plan.rates[0], plan.modes[0]) / split / part
            for plan in plans
            for kind in plan.types
            for part in (kind, *components(kind, count))
        }
        out = self.made / "librimix"
        return Step(
            f"mix_{split}",
            stage=STAGE,
            out=out,
            inputs={corpus: (self._source_done(corpus), STAGE) for corpus in self.sources(spec)},
            settings={"asked": [[*plan.types, *plan.modes, *plan.rates] for plan in plans], "sources": count},
            outputs=tuple(sorted(str(path.relative_to(out)) for path in (*folders, *(plan.journal for plan in plans)))),
        )

    def _mix(self, split: str) -> None:
        for plan in self._plans(split):
            generate(plan, nj=self.recipe.nj)

    def _noisy_step(self, part: str, kind: str) -> Step:
        name = noisy_librispeech.set_name(part, kind)
        needed = self.sources({"corpus": "noisy_librispeech", "part": part, "kind": kind})
        return Step(
            name,
            stage=STAGE,
            out=self.made / "noisy_librispeech",
            inputs={corpus: (self._source_done(corpus), STAGE) for corpus in needed},
            settings={"seed": self.options("noisy_librispeech").get("seed", 0)},
            outputs=(name,),
        )

    def _add_noise(self, part: str, kind: str) -> None:
        kept = self.made / "demand_16k"
        environments = noisy_librispeech.KINDS[kind]
        noisy_librispeech.generate(
            self.root("librispeech"),
            {name: demand.recording_16k(self.root("demand"), name, made=kept) for name in environments},
            self.root("noisy_librispeech"),
            part=part,
            kind=kind,
            seed=self.options("noisy_librispeech").get("seed", 0),
            nj=self.recipe.nj,
        )

    def _digits_step(self) -> Step:
        settings = {**self.options("digits"), "v": fsdd.VERSION}
        inputs = {"fsdd": (self._source_done("fsdd"), STAGE)}
        return Step("digits", stage=STAGE, out=self.made / "digits", inputs=inputs, settings=settings)

    def _make_digits(self) -> None:
        fsdd.prepare(self.root("fsdd"), self.root("digits"), self.options("digits"), nj=self.recipe.nj)

    def _custom_tables(self) -> list[Path]:
        parts = dict.fromkeys(spec["part"] for spec in self.sets.values() if spec["corpus"] == "custom")
        return [self.root("custom") / f"{part}.csv" for part in parts]

    def _custom_step(self) -> Step:
        # The tables are the user's own: a change in them is a change of settings.
        tables = {path.name: _content(path) for path in self._custom_tables()}
        return Step("custom", stage=STAGE, out=self.made / "custom", settings=tables, outputs=("report.json",))

    def _check_custom(self) -> None:
        counts = {str(path): len(csv_corpus.read_rows(path)) for path in self._custom_tables()}
        with atomic_path(self.made / "custom" / "report.json") as tmp:
            tmp.write_text(json.dumps(counts, indent=1) + "\n")


def _content(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def add_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the options of stage 1."""
    parser.add_argument("--fsdd", help="a copy of the Free Spoken Digit Dataset, with recordings/")
    parser.add_argument("--accept_licenses", choices=("true", "false"), default="false", help="download without asking")
    return parser


def from_args(args: argparse.Namespace) -> Corpora:
    """Build it from the options of add_arguments() and add_common_arguments()."""
    if args.fsdd:
        os.environ["FSDD"] = str(Path(args.fsdd).absolute())
    return Corpora(Recipe.from_args(args), accepted=args.accept_licenses == "true")


def main() -> None:
    """Run stage 1 from the command line."""
    parser = add_arguments(add_common_arguments(argparse.ArgumentParser(description=__doc__)))
    corpora = from_args(parser.parse_args())
    for step, action in corpora.work():
        step.run(action)


if __name__ == "__main__":
    run_main(main)
