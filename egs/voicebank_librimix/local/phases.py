"""What the stages consist of when each part is a job: phases one after the other, each an array of its own."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterable, Sequence

from local.config import Recipe, Run, runs_from_args
from local.corpora import from_args as corpora_from_args
from local.data import final_steps, set_steps
from local.decode import System, is_done, same_audio, shares, tasks
from local.pretrain import upstream_step
from local.resources import ClusterConfig
from local.steps import MissingInput, Step
from local.train import head_steps, joint_step, se_step


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
        kind: One of local.resources.KINDS.
        units: At least one.
        show: It is submitted even where nothing is left to do, and its log is printed when it has ended.
    """

    name: str
    stages: tuple[int, ...]
    kind: str
    units: tuple[Unit, ...]
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
    recipe, runs = Recipe.from_args(args), runs_from_args(args)
    shared = ("preset", "front_end", "ngpu", "downloads", "datadir", "dumpdir", "expdir", "nj")
    common = _options(args, shared, nj=config.kinds["cpu"].cpus)
    decoding = _options(args, shared, nj=1, ngpu=config.kinds["decode"].gpus)
    resume = ["--resume", args.resume]
    chosen = ["--objectives", args.objectives, "--finetune", args.finetune, "--seeds", args.seeds]

    def unit(name: str, module: str, *more: str, done: Callable[[], bool]) -> Unit:
        return Unit(name, (sys.executable, "-m", f"local.{module}", *more), done)

    def steps_of(find: Callable[[], Iterable[Step]]) -> Callable[[], bool]:
        return lambda: all(step.is_done() for step in find())

    def training(step: Step, *words: str) -> Unit:
        return unit(step.out.name, "train", *words, *common, *resume, done=step.is_done)

    def joint(run: Run) -> Unit:
        only = ["--objectives", run.objective, "--finetune", run.finetune, "--seeds", str(run.seed)]
        return training(joint_step(recipe, run), "joint", *only)

    corpora = corpora_from_args(args)
    acquisition = ["--accept_licenses", args.accept_licenses, *(["--fsdd", args.fsdd] if args.fsdd else [])]

    def dump(name: str) -> Unit:
        command = ("data", *common, "--only", name)
        return unit(f"dump {name}", *command, done=steps_of(lambda: set_steps(corpora, name)))

    def scores() -> list[Step]:
        from local.score import scorings_from_args

        return [scoring.step() for scoring in scorings_from_args(recipe, args)]

    def report() -> list[Step]:
        from local.probe import probe_step
        from local.report import report_step, scorings_from_args

        probed = probe_step(recipe).done.exists()
        return [report_step(recipe, scorings_from_args(recipe, args), runs, probed=probed)]

    upstream = upstream_step(recipe)
    trainings = [(3, training(se_step(recipe), "se"))]
    trainings += [(4, training(step, head)) for head, step in head_steps(recipe).items()]

    def all_decoded() -> bool:
        return all(is_done(recipe, *pair) for pair in tasks(recipe, runs))

    wanted = range(args.stage, args.stop_stage + 1)
    alone = [one for stage, one in trainings if stage in wanted]
    found = [
        Phase(
            "corpora",
            (1,),
            "cpu",
            (unit("corpora", "corpora", *common, *acquisition, done=steps_of(lambda: (s for s, _ in corpora.work()))),),
        ),
        Phase("dump", (2,), "cpu", tuple(dump(name) for name in corpora.sets)),
        Phase("data", (2,), "cpu", (unit("data", "data", *common, done=steps_of(lambda: final_steps(recipe))),)),
        Phase("ssl", (2,), "train", (unit("ssl", "pretrain", *common, *resume, done=upstream.is_done),)),
        Phase("train", (3, 4), "train", tuple(alone)),
        Phase("joint", (5,), "train", tuple(joint(run) for run in runs)),
        Phase("decode", (6,), "decode", tuple(_decoding(recipe, runs, [*decoding, *chosen], nj=args.nj))),
        Phase("transcripts", (6,), "cpu", (unit("transcripts", "decode", *common, *chosen, done=all_decoded),)),
        Phase("score", (7,), "cpu", (unit("score", "score", *common, *chosen, done=steps_of(scores)),)),
        Phase(
            "report",
            (8,),
            "cpu",
            (unit("report", "report", *common, *chosen, "--command", args.command, done=steps_of(report)),),
            show=True,
        ),
    ]
    return [phase for phase in found if phase.units and any(stage in wanted for stage in phase.stages)]


def _decoding(recipe: Recipe, runs: Sequence[Run], options: Sequence[str], *, nj: int) -> list[Unit]:
    def unit(number: int, share: Sequence[tuple[System, str]]) -> Unit:
        def done() -> bool:
            return all(is_done(recipe, *pair) for pair in share if same_audio(recipe, *pair) is None)

        names = " ".join(f"{system.name}/{name}" for system, name in share)
        return Unit(f"decoding {number}", (sys.executable, "-m", "local.decode", *options, "--share", names), done)

    return [unit(number, share) for number, share in enumerate(shares(recipe, runs, nj), start=1)]
