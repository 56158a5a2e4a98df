"""Stage 2: data directories, audio archives and the token list."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from local import dump, kaldi_dir, librimix, librispeech, voicebank_demand
from local.config import Recipe, add_common_arguments
from local.corpora import Corpora
from local.kaldi_dir import Utterance
from local.steps import OptionError, Step, log, run_main
from local.tokens import train_tokens

STAGE = 2

# The two sets that training reads are put together from others.
COMBINED = ("train", "dev")


def _voicebank_demand(corpora: Corpora) -> Callable[..., list[Utterance]]:
    options = corpora.options("voicebank_demand")

    def find(*, part: str, input: str = "noisy") -> list[Utterance]:
        root = corpora.root("voicebank_demand")
        return voicebank_demand.utterances(root, part, input=input, nj=corpora.recipe.nj, **options)

    return find


def _librimix(corpora: Corpora) -> Callable[..., list[Utterance]]:
    def find(
        *, split: str, type: str = "mix_single", mode: str = "max", rate: int = 16000, input: str = "noisy"
    ) -> list[Utterance]:
        return librimix.utterances(
            corpora.root("librimix"),
            split,
            librispeech=corpora.root("librispeech"),
            type=type,
            mode=mode,
            rate=rate,
            input=input,
            nj=corpora.recipe.nj,
        )

    return find


def _librispeech(corpora: Corpora) -> Callable[..., list[Utterance]]:
    def find(*, part: str) -> list[Utterance]:
        return librispeech.utterances(corpora.root("librispeech"), part, nj=corpora.recipe.nj)

    return find


# What a set may be taken from; the options of a set are the keyword arguments of what is given here.
SOURCES = {"voicebank_demand": _voicebank_demand, "librimix": _librimix, "librispeech": _librispeech}


def finder(corpora: Corpora, name: str, spec: Mapping[str, Any]) -> Callable[[], list[Utterance]]:
    """Give what lists the utterances of a set.

    Args:
        corpora: Where the corpora are.
        name: The set's name, for messages.
        spec: Its entry in the preset's `sets`: `corpus` and options of that corpus.

    Returns:
        A function without arguments.

    Raises:
        OptionError: When the corpus or an option is unknown, or a needed one is missing.
    """
    options = dict(spec)
    corpus = options.pop("corpus", None)
    if corpus not in SOURCES:
        raise OptionError(f"set '{name}': unknown corpus '{corpus}', choose from {', '.join(SOURCES)}")
    find = SOURCES[corpus](corpora)
    try:
        inspect.signature(find).bind(**options)
    except TypeError as error:
        known = ", ".join(inspect.signature(find).parameters)
        raise OptionError(f"set '{name}' of {corpus}: {error} (options: {known})") from None
    return lambda: find(**options)


def check_sets(preset: Mapping[str, Any]) -> None:
    """Insist that train, dev and test name sets that exist.

    Raises:
        OptionError: For the first fault.
    """
    sets = preset["sets"]
    for name in (*COMBINED, "tokens"):
        if name in sets:
            raise OptionError(f"a set cannot be called '{name}': that name is taken")
    for role in (*COMBINED, "test"):
        for name in preset[role]:
            if name not in sets:
                raise OptionError(f"`{role}` names the set '{name}', which is not among: {', '.join(sets)}")
        if not preset[role]:
            raise OptionError(f"the preset names no set for `{role}`")


def prepare_set(recipe: Recipe, name: str) -> None:
    """Write the data directory of a set and its archives.

    Args:
        recipe: The invocation.
        name: One of the preset's `sets`.
    """
    corpora, spec = Corpora(recipe), recipe.preset["sets"][name]
    find = finder(corpora, name, spec)
    directory = Step(
        "directory",
        stage=STAGE,
        out=recipe.datadir / name,
        inputs={spec["corpus"]: (corpora.done(spec["corpus"]), 1)},
        settings={"set": spec, "corpus": corpora.options(spec["corpus"])},
    )
    directory.run(lambda: kaldi_dir.write(directory.out, find()))
    archives = Step("dump", stage=STAGE, out=recipe.dumpdir / name, inputs={"directory": (directory.done, STAGE)})

    def write_archives() -> None:
        dumped = dump.dump(
            kaldi_dir.read(directory.out), archives.out / "archives", nj=recipe.nj, description=f"dump {name}"
        )
        kaldi_dir.write(archives.out, dumped)

    archives.run(write_archives)


def _within(utterances: list[Utterance], limits: Mapping[str, float], name: str) -> list[Utterance]:
    """Leave out what is too short or too long for training."""
    least, most = limits.get("min_seconds", 0.0), limits.get("max_seconds", float("inf"))
    kept = [u for u in utterances if least <= u.seconds <= most]
    if len(kept) < len(utterances):
        log(f"{name}: {len(utterances) - len(kept)} of {len(utterances)} utterances are not within {least} to {most} s")
    return kept


def combine_sets(recipe: Recipe, name: str) -> None:
    """Put the dumped sets of `train` or `dev` together; the archives stay where they are.

    Args:
        recipe: The invocation.
        name: One of COMBINED.
    """
    parts: list[str] = recipe.preset[name]
    limits = recipe.preset.get("limits", {})
    step = Step(
        "dump",
        stage=STAGE,
        out=recipe.dumpdir / name,
        inputs={part: (recipe.dump_done(part), STAGE) for part in parts},
        settings={"parts": parts, "limits": limits},
    )

    def combine() -> None:
        utterances = kaldi_dir.combine({part: kaldi_dir.read(recipe.dumpdir / part) for part in parts})
        kaldi_dir.write(step.out, _within(utterances, limits, name), categories=False)

    step.run(combine)


def prepare_tokens(recipe: Recipe) -> None:
    """Train the token list on the transcripts of the training set."""
    step = Step(
        "tokens",
        stage=STAGE,
        out=recipe.dumpdir / "tokens",
        inputs={"train": (recipe.dump_done("train"), STAGE)},
        settings={"vocabulary": recipe.preset["vocabulary"]},
    )

    def train() -> None:
        texts: list[str] = []
        for path in sorted((recipe.dumpdir / "train").glob("text_spk[0-9]")):
            texts += kaldi_dir.read_table(path).values()
        tokens = train_tokens(texts, step.out, vocabulary=recipe.preset["vocabulary"])
        log(f"tokens: {len(tokens)}")

    step.run(train)


def sets_in_use(preset: Mapping[str, Any]) -> list[str]:
    """The sets that train, dev or test name, in the order of `sets`."""
    used = {name for role in (*COMBINED, "test") for name in preset[role]}
    return [name for name in preset["sets"] if name in used]


def main() -> None:
    """Run the data part of stage 2 from the command line."""
    args = add_common_arguments(argparse.ArgumentParser(description=__doc__)).parse_args()
    recipe = Recipe.from_args(args)
    check_sets(recipe.preset)
    for name in sets_in_use(recipe.preset):
        prepare_set(recipe, name)
    for name in COMBINED:
        combine_sets(recipe, name)
    prepare_tokens(recipe)


if __name__ == "__main__":
    run_main(main)
