"""Stage 1: the corpora of a preset are found and verified, downloaded, synthesized or mixed."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from local.common.errors import OptionError
from local.common.recipe import Recipe
from local.common.sets import sets_in_use
from local.corpora.corpus import (
    STAGE,
    Corpus,
    Estimate,
    Published,
    Spec,
    Work,
    corpus_class,
    corpus_names,
    takes_sets,
)
from local.corpora.registry import Entry, load_registry


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """The corpora of one invocation; which are needed follows from the sets that the preset uses.

    Args:
        recipe: The invocation.
        accepted: Whether licenses are accepted beforehand.
    """

    recipe: Recipe
    accepted: bool = False

    @cached_property
    def sets(self) -> dict[str, dict[str, Any]]:
        """The sets in use.

        Raises:
            OptionError: For an unknown corpus, or an option that its sets do not have.
        """
        sets = sets_in_use(self.recipe.preset)
        for name, spec in sets.items():
            _check(name, spec)
        for name, options in (self.recipe.preset.get("corpora") or {}).items():
            _check_settings(name, options or {})
            # Some look at the values, too.
            _ = self.corpus(name).options
        return sets

    @cached_property
    def registry(self) -> dict[str, Entry]:
        """The archives of every corpus."""
        return load_registry(self.recipe.preset.get("registry"))

    @property
    def made(self) -> Path:
        """Where everything that is synthesized or mixed goes, and what is noted about the rest."""
        return self.recipe.datadir / "corpora"

    def corpus(self, name: str) -> Corpus:
        """A corpus by its name."""
        return corpus_class(name)(self)

    def published(self, name: str) -> Published:
        """A corpus that has archives, by its name."""
        corpus = self.corpus(name)
        assert isinstance(corpus, Published), name
        return corpus

    def maker(self, name: str) -> Corpus | None:
        """The corpus of the preset that makes the files of another, if there is one."""
        for other, options in (self.recipe.preset.get("corpora") or {}).items():
            if options and other in corpus_names() and name in corpus_class(other).stands_for:
                return self.corpus(other)
        return None

    def needed(self) -> dict[str, frozenset[str]]:
        """All published corpora that the sets in use need, with their parts."""
        needed: dict[str, frozenset[str]] = {}
        for spec in self.sets.values():
            for name, parts in self.corpus(spec["corpus"]).requires(spec).items():
                needed[name] = needed.get(name, frozenset()) | parts
        return needed

    def read(self) -> set[str]:
        """All corpora whose folders the sets in use are read or made from; not those that the preset makes itself."""
        names = {name for spec in self.sets.values() for name in self.corpus(spec["corpus"]).reads(spec)}
        return {name for name in names if self.maker(name) is None}

    def sources(self, needed: Mapping[str, frozenset[str]]) -> dict[str, tuple[Path, int]]:
        """Where it is noted that published corpora are there: corpus -> (file, stage that makes it)."""
        names = {name: maker.name if (maker := self.maker(name)) else name for name in needed}
        return {name: (self.made / by / f".{by}.done", STAGE) for name, by in names.items()}

    def inputs(self, spec: Spec) -> dict[str, tuple[Path, int]]:
        """What stage 2 needs before it can list a set: role -> (file, stage that makes it)."""
        return self.corpus(spec["corpus"]).inputs(spec)

    def work(self) -> Iterator[Work]:
        """The steps of stage 1 in order, each with what it does."""
        makers: dict[str, Corpus] = {}
        for name, parts in self.needed().items():
            if (maker := self.maker(name)) is None:
                yield self.published(name).acquire(parts)
            elif maker.name not in makers:
                makers[maker.name] = maker
                yield from maker.prepare([])
        for name in dict.fromkeys(spec["corpus"] for spec in self.sets.values()):
            yield from self.corpus(name).prepare([spec for spec in self.sets.values() if spec["corpus"] == name])

    def estimate(self, spec: Spec) -> Estimate:
        """About how large a set is, with what is made for it."""
        corpus = self.corpus(spec["corpus"])
        makers = [maker for name in corpus.requires(spec) if (maker := self.maker(name))]
        if not makers:
            return corpus.estimate(spec)
        sources = makers[0].estimate(spec)
        own = corpus.estimate(spec, sources.hours)
        return dataclasses.replace(own, made=own.made + sources.made)


def _check_settings(name: str, options: Mapping[str, Any]) -> None:
    """See that a corpus of which the preset says something is known, and that it reads what is said."""
    if name not in corpus_names():
        raise OptionError(f"corpora: unknown corpus '{name}', choose from {', '.join(corpus_names())}")
    known = corpus_class(name).settings
    if known is not None and (unknown := [key for key in options if key not in known]):
        raise OptionError(f"corpora: {name}: unknown key '{unknown[0]}' (keys: {', '.join(known) or 'none'})")


def _check(name: str, spec: Spec) -> None:
    """See that a set's corpus is known and takes its options."""
    options = dict(spec)
    corpus = options.pop("corpus", None)
    known = [each for each in corpus_names() if takes_sets(corpus_class(each))]
    if corpus not in known:
        raise OptionError(f"set '{name}': unknown corpus '{corpus}', choose from {', '.join(known)}")
    # Without the corpus itself, which a bound method would carry.
    signature = inspect.signature(corpus_class(corpus).utterances)
    accepted = [parameter for parameter in signature.parameters if parameter != "self"]
    try:
        signature.bind(None, **options)
    except TypeError as error:
        raise OptionError(f"set '{name}' of {corpus}: {error} (options: {', '.join(accepted)})") from None
    for key, value in options.items():
        # None where a class takes any option.
        parameter = signature.parameters.get(key)
        if parameter and parameter.annotation in (str, "str") and not isinstance(value, str):
            raise OptionError(f"set '{name}' of {corpus}: {key}: {value!r} is not accepted; give a text")
