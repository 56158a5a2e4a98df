"""What a corpus is to the recipe: one class per corpus, registered by the name that presets use."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import pkgutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import local.corpora
from local.common.audio import SAMPLE_RATE
from local.common.errors import OptionError
from local.common.kaldi_dir import Utterance
from local.common.output import atomic_path, log
from local.common.recipe import Recipe
from local.common.stages import Stage
from local.common.steps import Step
from local.corpora.acquire import Location, acquire
from local.corpora.registry import Entry

STAGE = Stage.CORPORA
# Bytes of an hour at 16 kHz and 16 bits, and the size of FLAC relative to it, for clean and noisy speech alike.
PCM_HOUR = 3600 * SAMPLE_RATE * 2
FLAC = 0.6

Spec = Mapping[str, Any]
Work = tuple[Step, Callable[[], Any]]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """About how large a set is.

    Args:
        hours: Of audio.
        made: Bytes that stage 1 writes for it.
        signals: Signals of an utterance in the archives: the input, its references, the noise.
        note: What is not known of it, for the user.
        utterances: How many, where it is known.
    """

    hours: float = 0.0
    made: float = 0.0
    signals: int = 2
    note: str = ""
    utterances: int | None = None


class Others(Protocol):
    """What a corpus may ask of the invocation and of the other corpora (local.corpora.catalogue.Catalogue)."""

    @property
    def recipe(self) -> Recipe:
        """The invocation: preset and folders."""

    @property
    def accepted(self) -> bool:
        """Whether licenses are accepted beforehand."""

    @property
    def registry(self) -> Mapping[str, Entry]:
        """The archives of every corpus."""

    @property
    def made(self) -> Path:
        """Where everything that is synthesized or mixed goes."""

    def corpus(self, name: str) -> Corpus:
        """A corpus by its name."""

    def published(self, name: str) -> Published:
        """A corpus that has archives, by its name."""

    def maker(self, name: str) -> Corpus | None:
        """The corpus of the preset that makes the files of another, if there is one."""

    def sources(self, needed: Mapping[str, frozenset[str]]) -> dict[str, tuple[Path, int]]:
        """Where it is noted that published corpora are there: corpus -> (file, stage that makes it)."""


class Corpus:
    """One corpus. A class of its own says what it needs, makes and lists; the preset says which sets are taken.

    Only `utterances` must be written, and `prepare` where something has to be made or looked through before.

    Args:
        catalogue: The invocation: its preset and folders, and the other corpora.

    Attributes:
        name: What presets call it; set by `register_corpus`.
        variables: Variables of the environment (db.sh) that say where a site keeps it, the first its folder.
        stands_for: Corpora whose files it makes, in a preset that says anything about it.
        settings: What a preset may say about it under `corpora`; None for anything, which the class checks itself.

    Example:
        >>> @register_corpus("example")
        ... class Example(Corpus):
        ...     def utterances(self, *, part):
        ...         return [Utterance("a-1", "a", "1.wav", ("1.wav",), ("HI",), part, 16000, 16000)]
        >>> corpus_class("example").name
        'example'
        >>> del _CORPORA["example"]
    """

    name: ClassVar[str] = ""
    variables: ClassVar[tuple[str, ...]] = ()
    stands_for: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[tuple[str, ...] | None] = None

    def __init__(self, catalogue: Others):
        self.catalogue = catalogue

    @property
    def options(self) -> dict[str, Any]:
        """What the preset says about the corpus."""
        return dict(self.catalogue.recipe.preset.get("corpora", {}).get(self.name) or {})

    @property
    def made(self) -> Path:
        """Where its steps of stage 1 work."""
        return self.catalogue.made / self.name

    def origins(self, spec: Spec) -> list[tuple[str, str]]:
        """What a set is made of beside the corpora that it requires, each with its license, for a model card."""
        # What is mixed of published corpora has their licenses.
        own = (f"corpus {self.name} of preset {self.catalogue.recipe.name}", "its owner's")
        return [] if self.requires(spec) else [own]

    def notices(self) -> dict[str, Path]:
        """Files about licenses that go with a model: name in the packed file -> file."""
        return {}

    @property
    def nj(self) -> int:
        """Parallel processes."""
        return self.catalogue.recipe.nj

    @property
    def site(self) -> Path | None:
        """The folder that the site named."""
        value = os.environ.get(self.variables[0]) if self.variables else None
        return Path(value) if value else None

    @property
    def root(self) -> Path:
        """The folder it is read from."""
        return self.site or self.catalogue.recipe.downloads / self.name

    @property
    def whereabouts(self) -> str:
        """Where it is read from, and how a site names another folder; for messages."""
        lacking = "" if self.root.exists() else ", which is not there"
        other = f"; {self.variables[0]} in db.sh names another folder" if self.variables else ""
        return f"{self.name} is read from {self.root}{lacking}{other}"

    def requires(self, spec: Spec) -> dict[str, frozenset[str]]:
        """The published corpora that a set needs, with the parts of each; no parts means all.

        Args:
            spec: The set's entry in the preset.
        """
        return {}

    def reads(self, spec: Spec) -> frozenset[str]:
        """The corpora whose folders a set is read or made from, itself included.

        Args:
            spec: The set's entry in the preset.
        """
        return frozenset([self.name, *self.requires(spec)])

    def prepare(self, specs: Collection[Spec]) -> Iterable[Work]:
        """The steps of stage 1 that some sets need, each with what it does; none by default.

        Args:
            specs: Entries of sets of this corpus.
        """
        return ()

    def inputs(self, spec: Spec) -> dict[str, tuple[Path, int]]:
        """What stage 2 needs before it can list a set: role -> (file, stage that makes it)."""
        found = self.catalogue.sources(self.requires(spec))
        steps = [step for step, _ in self.prepare([spec])]
        for step in steps:
            found[self.name if len(steps) == 1 else step.name] = (step.done, STAGE)
        return found

    def verify(self, root: Path, parts: Collection[str]) -> dict[str, int]:
        """See that what is there is complete.

        Args:
            root: Where it lies.
            parts: The parts that are needed; none means all.

        Returns:
            What was counted.

        Raises:
            DataError: For what is missing, by name.
        """
        return {}

    # The options of a set are whatever keyword arguments a class has here.
    utterances: Callable[..., list[Utterance]]

    def estimate(self, spec: Spec, hours: float | None = None) -> Estimate:
        """About how large a set is, for --dry_run.

        Args:
            spec: The set's entry in the preset.
            hours: Of audio, where another corpus makes its sources and knows.
        """
        return Estimate(hours or 0.0, note="" if hours else f"the size of {self.name} is not known")


class Published(Corpus):
    """A corpus with archives in conf/corpora.yaml (or in the preset's `registry`): found, or downloaded.

    Attributes:
        folder: Where it lies below --downloads.
    """

    folder: ClassVar[str] = ""
    settings: ClassVar[tuple[str, ...] | None] = ()

    @property
    def entry(self) -> Entry:
        """What the registry says about it."""
        try:
            return self.catalogue.registry[self.name]
        except KeyError:
            raise OptionError(f"the registry of corpora has no '{self.name}': name a file in `registry`") from None

    @property
    def location(self) -> Location:
        """Where it is looked for and put."""
        downloads = self.catalogue.recipe.downloads
        return Location(
            shared=self.site or downloads / self.folder,
            own=self.made / self.folder,
            archives=downloads,
            fixed=self.site is not None,
        )

    @property
    def root(self) -> Path:
        """The folder it is read from."""
        maker = self.catalogue.maker(self.name)
        return maker.made / self.folder if maker else self.location.folder

    def requires(self, spec: Spec) -> dict[str, frozenset[str]]:
        """Itself."""
        return {self.name: frozenset()}

    def acquire(self, parts: frozenset[str]) -> Work:
        """The step that has it found or downloaded, and verified.

        Args:
            parts: The parts that are needed; none means all.
        """
        location, entry = self.location, self.entry
        settings = {"folder": location.shared, "parts": sorted(parts), "facts": entry.facts}
        step = Step(self.name, stage=STAGE, out=self.made, settings=settings, outputs=("report.json",))

        def work() -> None:
            folder = acquire(entry, location, parts, accepted=self.catalogue.accepted)
            counts = self.verify(folder, parts)
            log(f"{self.name}: complete, {sum(counts.values())} entries in {folder}")
            write_report(step.out / "report.json", {"folder": str(folder), "found": counts})

        return step, work

    def estimate(self, spec: Spec, hours: float | None = None) -> Estimate:
        """About how large a set is."""
        if hours is None:
            hours = published_hours(self.entry, str(spec.get("part") or spec.get("split")))
        return Estimate(hours)


def published_hours(entry: Entry, part: str) -> float:
    """How long a part is by the registry; 0 where it does not say."""
    return float(entry.facts.get("hours", {}).get(part.split("_")[0], 0))


def write_report(path: Path, content: Mapping[str, Any]) -> None:
    """Write what a step found, as JSON."""
    with atomic_path(path) as tmp:
        tmp.write_text(json.dumps(content, indent=1) + "\n")


def some(names: Collection[str]) -> str:
    """A few names, and that there are more.

    Example:
        >>> some("gfedcba")
        'a, b, c, d, e and 2 more'
    """
    return ", ".join(sorted(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


_CORPORA: dict[str, type[Corpus]] = {}
_Class = TypeVar("_Class", bound=type[Corpus])


def register_corpus(name: str) -> Callable[[_Class], _Class]:
    """Decorate a Corpus, so that presets can take sets from it.

    Args:
        name: What presets call it.

    Raises:
        OptionError: When another class has that name.
    """

    def register(made: _Class) -> _Class:
        known = _CORPORA.get(name)
        if known is not None and (known.__module__, known.__qualname__) != (made.__module__, made.__qualname__):
            raise OptionError(f"two corpora are called '{name}': {known.__module__} and {made.__module__}")
        made.name = name
        _CORPORA[name] = made
        return made

    return register


def _discover() -> None:
    """Import every module of this folder; those with a corpus register it."""
    for module in pkgutil.iter_modules(local.corpora.__path__, f"{local.corpora.__name__}."):
        if not module.ispkg:
            importlib.import_module(module.name)


def corpus_names() -> list[str]:
    """All corpora, those of imported modules among them."""
    _discover()
    return sorted(_CORPORA)


def corpus_class(name: str) -> type[Corpus]:
    """The class of a corpus.

    Raises:
        KeyError: When no corpus has that name.
    """
    if name not in _CORPORA:
        _discover()
    return _CORPORA[name]


def variables() -> list[str]:
    """The variables of the environment that say where a site keeps its corpora."""
    return sorted({variable for name in corpus_names() for variable in _CORPORA[name].variables})


def takes_sets(made: type[Corpus]) -> bool:
    """Whether sets can be taken from a corpus; some are only material for others."""
    return hasattr(made, "utterances")


def dealt(specs: Iterable[Spec], *keys: str) -> Iterator[tuple[Any, ...]]:
    """The different values of some options of sets, in order."""
    yield from dict.fromkeys(tuple(spec[key] for key in keys) for spec in specs)
