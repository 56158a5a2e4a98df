"""Stage 2: data directories, audio archives and the token list."""

from __future__ import annotations

from collections.abc import Mapping

from local.common import kaldi_dir
from local.common.kaldi_dir import DataError, Utterance
from local.common.output import log
from local.common.recipe import Recipe
from local.common.sets import COMBINED
from local.common.stages import Stage
from local.common.steps import Step
from local.corpora.catalogue import Catalogue
from local.corpora.corpus import some
from local.stages import dump
from local.stages.ctc_length import describe, subsampling, token_counter
from local.stages.judges import check_lengths
from local.stages.phones import phones_step
from local.stages.summary import write_signals, write_summary
from local.stages.tokens import CHARACTERS, character_tokens, train_tokens, unknown_characters


def set_steps(corpora: Catalogue, name: str) -> tuple[Step, Step]:
    """The steps that leave `<data>/<name>` and `<dump>/<name>`.

    Args:
        corpora: Where the corpora are.
        name: One of the sets in use.
    """
    recipe, spec = corpora.recipe, corpora.sets[name]
    directory = Step(
        "directory",
        stage=Stage.DATA,
        out=recipe.datadir / name,
        inputs=corpora.inputs(spec),
        settings={"set": spec, "corpus": corpora.corpus(spec["corpus"]).options},
    )
    archives = Step(
        "dump", stage=Stage.DATA, out=recipe.dumpdir / name, inputs={"directory": (directory.done, Stage.DATA)}
    )
    return directory, archives


def prepare_set(corpora: Catalogue, name: str) -> None:
    """Write the data directory of a set and its archives.

    Args:
        corpora: Where the corpora are.
        name: One of the sets in use.
    """
    directory, archives = set_steps(corpora, name)
    options = {key: value for key, value in corpora.sets[name].items() if key != "corpus"}
    corpus = corpora.corpus(corpora.sets[name]["corpus"])

    def write_lists() -> None:
        found = corpus.utterances(**options)
        if name in corpora.recipe.preset["test"] and (bare := [u.id for u in found if not u.transcribed]):
            raise DataError(f"set '{name}' is tested on, but {len(bare)} utterances have no transcript: {some(bare)}")
        if name in corpora.recipe.preset["test"] and corpora.recipe.judges:
            check_lengths(name, found)
        dump.check_files(name, found, remedy=corpus.whereabouts)
        write_summary(directory.out, kaldi_dir.write(directory.out, found))

    directory.run(write_lists)

    def write_archives() -> None:
        dumped = dump.dump(kaldi_dir.read(directory.out), archives.out / "archives", nj=corpora.recipe.nj, name=name)
        for text in write_signals(archives.out, kaldi_dir.write(archives.out, dumped)):
            log(f"{name}: {text}")

    archives.run(write_archives)


def _within(utterances: list[Utterance], limits: Mapping[str, float], name: str) -> list[Utterance]:
    """Leave out what is too short or too long for training."""
    least, most = limits.get("min_seconds", 0.0), limits.get("max_seconds", float("inf"))
    kept = [u for u in utterances if least <= u.seconds <= most]
    if len(kept) < len(utterances):
        log(f"{name}: {len(utterances) - len(kept)} of {len(utterances)} utterances are not within {least} to {most} s")
    return kept


def combined_step(recipe: Recipe, name: str) -> Step:
    """The step that leaves `<dump>/train` or `<dump>/dev`."""
    parts: list[str] = recipe.preset[name]
    return Step(
        "dump",
        stage=Stage.DATA,
        out=recipe.dumpdir / name,
        inputs={part: (recipe.dump_done(part), Stage.DATA) for part in parts},
        settings={"parts": parts, "limits": recipe.preset.get("limits", {})},
    )


def combine_sets(recipe: Recipe, name: str) -> None:
    """Put the dumped sets of `train` or `dev` together; the archives stay where they are.

    Args:
        recipe: The invocation.
        name: One of COMBINED.
    """
    step = combined_step(recipe, name)
    parts, limits = step.settings["parts"], step.settings["limits"]

    def combine() -> None:
        sets = {part: kaldi_dir.read(recipe.dumpdir / part) for part in parts}
        utterances = kaldi_dir.combine(sets)
        if text := kaldi_dir.left_out(sets):
            log(f"{name}: {text}")
        kept = kaldi_dir.write(step.out, _within(utterances, limits, name), categories=False)
        if bare := sum(not utterance.transcribed for utterance in kept):
            log(f"{name}: {bare} of {len(kept)} utterances have no transcript: they train front-ends alone")
        kaldi_dir.write_transcribed(step.out, kept)

    step.run(combine)


def tokens_step(recipe: Recipe) -> Step:
    """The step that leaves `<dump>/tokens`."""
    return Step(
        "tokens",
        stage=Stage.DATA,
        out=recipe.dumpdir / "tokens",
        inputs={"train": (recipe.dump_done("train"), Stage.DATA)},
        settings={"vocabulary": recipe.preset["vocabulary"]},
    )


def prepare_tokens(recipe: Recipe) -> None:
    """Train the token list on the transcripts of the training set."""
    step = tokens_step(recipe)

    def train() -> None:
        texts: list[str] = []
        for path in sorted(kaldi_dir.transcribed(recipe.dumpdir / "train").glob("text_spk[0-9]")):
            texts += kaldi_dir.read_table(path).values()
        vocabulary = recipe.preset["vocabulary"]
        if vocabulary == CHARACTERS:
            tokens = character_tokens(texts, step.out)
        else:
            tokens = train_tokens(texts, step.out, vocabulary=vocabulary)
        asked = "" if vocabulary in (CHARACTERS, len(tokens)) else f" of {vocabulary}: the transcripts give no more"
        log(f"tokens: {len(tokens)}{asked}")
        for name in COMBINED:
            folder = kaldi_dir.transcribed(recipe.dumpdir / name)
            count = token_counter(step.out, characters=vocabulary == CHARACTERS)
            utterances = kaldi_dir.read(folder)
            for text in (
                describe(utterances, count, subsample=subsampling(recipe)),
                unknown_characters(utterances, tokens),
            ):
                if text:
                    log(f"{name}: {text}")

    step.run(train)


def final_steps(recipe: Recipe) -> list[Step]:
    """What follows the sets themselves."""
    phones = [phones_step(recipe)] if "pr" in recipe.preset["heads"] else []
    tokens = [tokens_step(recipe)] if recipe.heads else []
    return [*(combined_step(recipe, name) for name in COMBINED), *tokens, *phones]
