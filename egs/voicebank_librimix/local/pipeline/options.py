"""The command line: what run.sh hands over, checked before any work starts."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from local.common.errors import OptionError
from local.common.recipe import (
    Recipe,
    Run,
    add_common_arguments,
    add_resume_argument,
    add_run_arguments,
    load_preset,
    preset_names,
    resume_from_args,
    runs_from_args,
)
from local.common.stages import Stage
from local.corpora.catalogue import Catalogue
from local.corpora.corpus import corpus_class, corpus_names, variables
from local.stages.judges import judge_settings

# What a job has to know to do the same as run.sh here; the rest says how and where.
_OF_A_JOB = (
    *("preset", "front_end", "downloads", "datadir", "dumpdir", "expdir", "nj", "ngpu"),
    *("objectives", "finetune", "seeds", "resume", "accept_licenses", "command", "shards", "upload_repo"),
)


@dataclasses.dataclass(frozen=True)
class Invocation:
    """One call of run.sh.

    Args:
        args: The options as they were given.
        recipe: Preset, directories, resources.
        runs: Of stage 5.
        stages: Those asked for, in order.
        resume: Whether trainings go on at their last checkpoints.
    """

    args: argparse.Namespace
    recipe: Recipe
    runs: list[Run]
    stages: list[Stage]
    resume: bool

    def words(self, **changes: object) -> list[str]:
        """The options of a job that does a part of this, with some of them changed."""
        given = {name: changes.get(name, getattr(self.args, name)) for name in _OF_A_JOB}
        texts = {name: str(value).lower() if isinstance(value, bool) else value for name, value in given.items()}
        return [f"--{name}={text}" for name, text in texts.items() if text is not None]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise OptionError(re.sub(r"^argument (--\w+): ", r"\1 ", message))


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, not '{text}'")
    return int(text)


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"is true or false, not '{text}'")
    return text == "true"


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(description=__doc__, allow_abbrev=False)
    add_resume_argument(add_run_arguments(add_common_arguments(parser, number=_whole)))
    parser.add_argument("--corpus", help="the preset on another corpus")
    parser.add_argument("--stage", type=_whole, default=min(Stage))
    parser.add_argument("--stop_stage", type=_whole, help="default: the report, or --stage where that is behind it")
    parser.add_argument("--cmd_backend", default="local", help="where jobs run")
    parser.add_argument("--local_scratch", help="a folder on each node's own disk")
    for variable in variables():
        parser.add_argument(f"--{variable.lower()}", metavar="PATH", help=f"as the variable {variable} of db.sh")
    for name in ("accept_licenses", "detach", "status", "dry_run"):
        parser.add_argument(f"--{name}", type=_truth, default=False)
    parser.add_argument("--upload_repo", metavar="OWNER/NAME", help="where stage 10 uploads the run's model")
    parser.add_argument("--command", default="", help="what the user typed, for the report")
    parser.add_argument("--shards", type=_whole, help="how many processes share the decoding (default: --nj)")
    return parser


def _on_corpus(preset: str, corpus: str) -> str:
    """The preset PRESET_CORPUS, which has the steps of a preset on another corpus."""
    choices: dict[str, list[str]] = {}
    for name in preset_names():
        of, _, last = name.rpartition("_")
        if of in preset_names() and last in corpus_names():
            choices.setdefault(of, []).append(last)
    if corpus in choices.get(preset, []):
        return f"{preset}_{corpus}"
    own = f"it has {', '.join(choices[preset])}" if preset in choices else "leave --corpus out"
    others = "; ".join(f"{of} has {', '.join(names)}" for of, names in choices.items() if of != preset)
    raise OptionError(f"preset {preset} has no --corpus {corpus}: {own}" + (f" ({others})" if others else ""))


def _check_site(recipe: Recipe, variable: str, path: Path) -> None:
    """See that a corpus named on the command line is there, and that the preset reads it."""
    option = f"--{variable.lower()}"
    owners = {name for name in corpus_names() if variable in corpus_class(name).variables}
    if not owners & Catalogue(recipe).read():
        presets = {name: dataclasses.replace(recipe, preset=load_preset(name), name=name) for name in preset_names()}
        readers = [name for name, other in presets.items() if owners & Catalogue(other).read()]
        raise OptionError(
            f"{option} is for {', '.join(sorted(owners))}, from which preset {recipe.name} reads no set"
            + (f"; presets that do: {', '.join(readers)}" if readers else "")
        )
    if not path.exists():
        raise OptionError(f"{option} {path}: no such file or folder")


def _check_upload(repository: str, runs: Sequence[Run]) -> None:
    """See that a repository is a name, and that one model goes there."""
    from espnet_plugins.packing.upload import check_repository

    try:
        check_repository(repository)
    except ValueError as error:
        raise OptionError(f"--upload_repo {error}") from error
    if len(runs) != 1:
        names = " ".join(run.name for run in runs)
        raise OptionError(
            f"--upload_repo takes the model of one run, not of {len(runs)} ({names}): say which by "
            "--objectives and --seeds"
        )


def parse(words: Sequence[str]) -> Invocation:
    """Read and check every option.

    Args:
        words: The command line.

    Returns:
        What is to be done. Where corpora lie and --local_scratch are in the environment, where jobs look for them.

    Raises:
        OptionError: For the first option that is wrong.

    Example:
        >>> [int(stage) for stage in parse(["--stage=3", "--stop_stage=5"]).stages]
        [3, 4, 5]
    """
    args = _parser().parse_args(words)
    if args.stop_stage is None:
        args.stop_stage = max(args.stage, Stage.REPORT)
    for name in ("stage", "stop_stage"):
        if not min(Stage) <= getattr(args, name) <= max(Stage):
            raise OptionError(f"--{name} {getattr(args, name)}: stages run from {min(Stage)} to {max(Stage)}")
    if args.stage > args.stop_stage:
        raise OptionError(f"--stage {args.stage} is behind --stop_stage {args.stop_stage}: nothing to do")
    if args.detach and args.cmd_backend != "slurm":
        raise OptionError("--detach needs --cmd_backend slurm")
    if args.corpus:
        args.preset = _on_corpus(args.preset, args.corpus)
    sites = {variable: Path(given).absolute() for variable in variables() if (given := getattr(args, variable.lower()))}
    os.environ.update({variable: str(path) for variable, path in sites.items()})
    if args.local_scratch:
        os.environ["LOCAL_SCRATCH"] = args.local_scratch
    recipe = Recipe.from_args(args)
    for variable, path in sites.items():
        _check_site(recipe, variable, path)
    for judge, options in recipe.judges.items():
        judge_settings(judge, options)
    stages = [stage for stage in Stage if args.stage <= stage <= args.stop_stage]
    runs = runs_from_args(recipe, args)
    if args.upload_repo is not None:
        _check_upload(args.upload_repo, runs)
    return Invocation(args, recipe, runs, stages, resume_from_args(args))
