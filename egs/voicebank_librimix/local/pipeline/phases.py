"""What the stages consist of when each part is a job: phases one after the other, each an array of its own."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from local.common.recipe import Recipe, Run, runs_from_args
from local.common.steps import MissingInput, Step
from local.corpora.catalogue import from_args as corpora_from_args
from local.jobs.resources import ClusterConfig
from local.stages.data import final_steps, set_steps
from local.stages.decode import System, is_done, same_audio, shares, tasks
from local.stages.report import report_step
from local.stages.score import scorings_from_args
from local.stages.ssl_model import upstream_step
from local.stages.train import head_steps, joint_step, se_step


@dataclasses.dataclass(frozen=True)
class Unit:
    """Work that one task of an array does.

    Args:
        name: What it is called in messages.
        command: The module of the recipe and its options.
        done: Whether nothing is left to do; may raise MissingInput.
    """

    name: str
    command: tuple[str, ...]
    done: Callable[[], bool]

    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        try:
            return self.done()
        except MissingInput:
            return False


@dataclasses.dataclass(frozen=True)
class Phase:
    """Units that are independent of each other.

    Args:
        name: What the array is called.
        stages: The stages it belongs to.
        units: At least one.
        kind: One of local.jobs.resources.KINDS.
        show: It is submitted even where nothing is left to do, and its log is printed when it has ended.
    """

    name: str
    stages: tuple[int, ...]
    units: tuple[Unit, ...]
    kind: str = "cpu"
    show: bool = False

    def waiting(self) -> list[Unit]:
        """The units to submit."""
        return [unit for unit in self.units if self.show or not unit.is_done()]


def _options(args: argparse.Namespace, names: Sequence[str], **changes: object) -> list[str]:
    given = {name: changes.get(name, getattr(args, name)) for name in names}
    return [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]


def phases(args: argparse.Namespace, config: ClusterConfig) -> list[Phase]:
    """List the phases of the stages that are asked for.

    Args:
        args: The options of run.sh.
        config: Of its CPUs, a task that works in parallel itself makes use; decoding of its GPUs.

    Returns:
        The phases, in order. Front-end and recogniser share one: neither needs the other. What decoding takes over
        from the same audio in another set follows when all of it has been decoded.
    """
    recipe = Recipe.from_args(args)
    runs, corpora = runs_from_args(recipe, args), corpora_from_args(args)
    shared = ("preset", "front_end", "ngpu", "downloads", "datadir", "dumpdir", "expdir", "nj")
    common = _options(args, shared, nj=config.kinds["cpu"].cpus)
    decoding = _options(args, shared, nj=1, ngpu=config.kinds["decode"].gpus)
    resume = ["--resume", args.resume]
    chosen = _options(args, ("objectives", "finetune", "seeds"))
    acquisition = ["--accept_licenses", args.accept_licenses, *(["--fsdd", args.fsdd] if args.fsdd else [])]

    def unit(name: str, module: str, *more: str, done: Callable[[], bool]) -> Unit:
        return Unit(name, (sys.executable, "-m", f"local.{module}", *more), done)

    def dump(name: str) -> Unit:
        return unit(
            f"dump {name}", "stages.data", *common, "--only", name, done=lambda: _all_done(set_steps(corpora, name))
        )

    def training(step: Step, *words: str) -> Unit:
        return unit(step.out.name, "stages.train", *words, *common, *resume, done=step.is_done)

    def joint(run: Run) -> Unit:
        only = ["--objectives", run.objective, "--finetune", run.finetune, "--seeds", str(run.seed)]
        return training(joint_step(recipe, run), "joint", *only)

    def scored() -> bool:
        return _all_done(scoring.step() for scoring in scorings_from_args(recipe, args))

    def reported() -> bool:
        return report_step(recipe, scorings_from_args(recipe, args), runs).is_done()

    def single(stage: int, name: str, module: str, *more: str, done: Callable[[], bool], **options: Any) -> Phase:
        only = unit(name, module, *common, *more, done=done)
        return Phase(name, (stage,), units=(only,), **options)

    wanted = range(args.stage, args.stop_stage + 1)
    trainings = [(3, training(se_step(recipe), "se"))]
    trainings += [(4, training(step, head)) for head, step in head_steps(recipe).items()]
    decoding_shares = _decoding(recipe, runs, [*decoding, *chosen], nj=args.nj)
    typed = ["--command", args.command]
    found = [
        single(
            1, "corpora", "corpora.catalogue", *acquisition, done=lambda: _all_done(step for step, _ in corpora.work())
        ),
        Phase("dump", (2,), tuple(dump(name) for name in corpora.sets)),
        single(2, "data", "stages.data", done=lambda: _all_done(final_steps(recipe))),
        single(2, "ssl", "stages.ssl_model", *resume, done=upstream_step(recipe).is_done, kind="train"),
        Phase("train", (3, 4), tuple(one for stage, one in trainings if stage in wanted), kind="train"),
        Phase("joint", (5,), tuple(joint(run) for run in runs), kind="train"),
        Phase("decode", (6,), decoding_shares, kind="decode"),
        single(6, "transcripts", "stages.decode", *chosen, done=lambda: _decoded(recipe, tasks(recipe, runs))),
        single(7, "score", "stages.score", *chosen, done=scored),
        single(8, "report", "stages.report", *chosen, *typed, done=reported, show=True),
    ]
    return [phase for phase in found if phase.units and any(stage in wanted for stage in phase.stages)]


def _all_done(steps: Iterable[Step]) -> bool:
    return all(step.is_done() for step in steps)


def _decoded(recipe: Recipe, pairs: Iterable[tuple[System, str]]) -> bool:
    return all(is_done(recipe, *pair) for pair in pairs)


def _decoding(recipe: Recipe, runs: Sequence[Run], options: Sequence[str], *, nj: int) -> tuple[Unit, ...]:
    def unit(number: int, share: Sequence[tuple[System, str]]) -> Unit:
        def done() -> bool:
            return _decoded(recipe, [pair for pair in share if same_audio(recipe, *pair) is None])

        names = " ".join(f"{system.name}/{name}" for system, name in share)
        return Unit(
            f"decoding {number}", (sys.executable, "-m", "local.stages.decode", *options, "--share", names), done
        )

    return tuple(unit(number, share) for number, share in enumerate(shares(recipe, runs, nj), start=1))
