"""What tells that a part of the recipe has nothing left to do: the steps it consists of."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence

from local.config import Recipe, Run, runs_from_args
from local.corpora import Corpora
from local.decode import is_done, tasks
from local.steps import Step


def all_done(find: Callable[..., Iterable[Step]], *arguments: object) -> bool:
    """Whether every step is done that `find` gives for the arguments.

    Raises:
        MissingInput: When an input of one is not there.
    """
    return all(step.is_done() for step in find(*arguments))


def corpora_steps(corpora: Corpora) -> list[Step]:
    """Stage 1."""
    return [step for step, _ in corpora.work()]


def is_decoded(recipe: Recipe, runs: Sequence[Run]) -> bool:
    """Stage 6, with what is taken over from the same audio in another set."""
    return all(is_done(recipe, *pair) for pair in tasks(recipe, runs))


def score_steps(recipe: Recipe, args: argparse.Namespace) -> list[Step]:
    """Stage 7."""
    from local.score import scorings_from_args

    return [scoring.step() for scoring in scorings_from_args(recipe, args)]


def report_steps(recipe: Recipe, args: argparse.Namespace) -> list[Step]:
    """Stage 8."""
    from local.cost import delay_step
    from local.probe import probe_step
    from local.report import report_step
    from local.score import scorings_from_args

    measured = [step for step in (probe_step(recipe), delay_step(recipe)) if step.done.exists()]
    return [report_step(recipe, scorings_from_args(recipe, args), runs_from_args(args), measured=measured)]
