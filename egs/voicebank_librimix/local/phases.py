"""What the stages consist of when each part is a job: phases one after the other, each an array of its own."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence

from local.config import Recipe, Run, runs_from_args
from local.corpora import Corpora
from local.decode import is_done, shares
from local.pretrain import upstream_step
from local.steps import MissingInput, Step
from local.train import head_steps, joint_step, se_step


@dataclasses.dataclass(frozen=True)
class Unit:
    """Work that one task of an array does.

    Args:
        name: What it is called in messages.
        command: The module of the recipe and its options.
        done: Whether nothing is left to do; None where only the work itself can tell.
    """

    name: str
    command: tuple[str, ...]
    done: Callable[[], bool] | None = None

    def is_done(self) -> bool:
        """Whether it need not be submitted."""
        try:
            return self.done is not None and self.done()
        except MissingInput:
            return False


@dataclasses.dataclass(frozen=True)
class Phase:
    """Units that are independent of each other.

    Args:
        name: What the array is called.
        stages: The stages it belongs to.
        kind: One of local.resources.KINDS.
        units: At least one.
        show: Print its log when it has ended.
    """

    name: str
    stages: tuple[int, ...]
    kind: str
    units: tuple[Unit, ...]
    show: bool = False


def _options(args: argparse.Namespace, names: Sequence[str], **changes: object) -> list[str]:
    given = {name: changes.get(name, getattr(args, name)) for name in names}
    return [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]


def phases(args: argparse.Namespace, *, cpus: int) -> list[Phase]:
    """List the phases of the stages that are asked for.

    Args:
        args: The options of run.sh.
        cpus: Processes of a task that works in parallel itself.

    Returns:
        The phases, in order. Front-end and recogniser share one: neither needs the other.
    """
    recipe, runs = Recipe.from_args(args), runs_from_args(args)
    shared = ("preset", "front_end", "ngpu", "downloads", "datadir", "dumpdir", "expdir", "nj")
    common = _options(args, shared, nj=max(cpus, 1))
    resume = ["--resume", args.resume]
    chosen = ["--objectives", args.objectives, "--finetune", args.finetune, "--seeds", args.seeds]

    def unit(name: str, module: str, *more: str, done: Callable[[], bool] | None = None) -> Unit:
        return Unit(name, (sys.executable, "-m", f"local.{module}", *more), done)

    def training(step: Step, *words: str) -> Unit:
        return unit(step.out.name, "train", *words, *common, *resume, done=step.is_done)

    def joint(run: Run) -> Unit:
        only = ["--objectives", run.objective, "--finetune", run.finetune, "--seeds", str(run.seed)]
        return training(joint_step(recipe, run), "joint", *only)

    corpora = ["--accept_licenses", args.accept_licenses, *(["--fsdd", args.fsdd] if args.fsdd else [])]
    upstream = upstream_step(recipe)
    trainings = [(3, training(se_step(recipe), "se"))]
    trainings += [(4, training(step, head)) for head, step in head_steps(recipe).items()]
    wanted = range(args.stage, args.stop_stage + 1)
    alone = [one for stage, one in trainings if stage in wanted]
    found = [
        Phase("corpora", (1,), "cpu", (unit("corpora", "corpora", *common, *corpora),)),
        Phase(
            "dump",
            (2,),
            "cpu",
            tuple(unit(f"dump {name}", "data", *common, "--only", name) for name in Corpora(recipe).sets),
        ),
        Phase("data", (2,), "cpu", (unit("data", "data", *common),)),
        Phase("ssl", (2,), "train", (unit("ssl", "pretrain", *common, *resume, done=upstream.is_done),)),
        Phase("train", (3, 4), "train", tuple(alone)),
        Phase("joint", (5,), "train", tuple(joint(run) for run in runs)),
        Phase("decode", (6,), "decode", tuple(_decoding(recipe, runs, [*common, *chosen], nj=args.nj))),
        Phase("score", (7,), "cpu", (unit("score", "score", *common, *chosen),)),
        Phase("report", (8,), "cpu", (unit("report", "report", *common, *chosen, "--command", args.command),), True),
    ]
    return [phase for phase in found if phase.units and any(stage in wanted for stage in phase.stages)]


def _decoding(recipe: Recipe, runs: Sequence[Run], options: Sequence[str], *, nj: int) -> list[Unit]:
    units = []
    for number, share in enumerate(shares(recipe, runs, nj), start=1):
        names = " ".join(f"{system.name}/{name}" for system, name in share)
        command = (sys.executable, "-m", "local.decode", *options, "--share", names)
        units.append(
            Unit(f"decoding {number}", command, lambda share=share: all(is_done(recipe, *pair) for pair in share))
        )
    return units
