"""The recipe as jobs: each phase an array, submitted and waited for, or all at once as a chain."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from local.common.recipe import Recipe, add_common_arguments, add_resume_argument, add_run_arguments
from local.common.steps import OptionError, RecipeError, log, run_main
from local.corpora.corpus import variables
from local.jobs.array_task import VARIABLE, write_commands
from local.jobs.resources import ClusterConfig, Resources, load_cluster_config
from local.jobs.slurm import ACTIVE, Array, cancel, read_record, states, submit
from local.jobs.slurm_wait import ends_by_signal
from local.pipeline.phases import Phase, Unit, phases


def add_cluster_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the options of run.sh that concern jobs."""
    add_resume_argument(add_run_arguments(add_common_arguments(parser)))
    parser.add_argument("--stage", type=int, default=1)
    parser.add_argument("--stop_stage", type=int, default=8)
    parser.add_argument("--accept_licenses", default="false")
    parser.add_argument("--fsdd")
    parser.add_argument("--command", default="", help="what the user typed, for the report")
    return parser


def command_of(kind: str) -> str:
    """The command of cmd.sh that runs jobs of a kind.

    Args:
        kind: One of local.jobs.resources.KINDS.

    Raises:
        OptionError: When cmd.sh has not been sourced.
    """
    variable = f"{kind}_cmd"
    if variable not in os.environ:
        raise OptionError(f"the variable {variable} is not set: source cmd.sh, as run.sh does")
    return os.environ[variable]


def jobs_folder(recipe: Recipe) -> Path:
    """Where logs of jobs lie."""
    return recipe.expdir / "jobs"


def _resources(config: ClusterConfig, phase: Phase, ngpu: int) -> Resources:
    resources = config.kinds[phase.kind]
    return dataclasses.replace(resources, gpus=ngpu) if phase.kind == "train" else resources


def run_attached(recipe: Recipe, todo: Sequence[Phase]) -> None:
    """Submit each phase through its command and wait for it.

    Args:
        recipe: The invocation.
        todo: The phases, in order.

    Raises:
        RecipeError: When a phase fails; what went wrong has been printed by its command.
    """
    for phase in todo:
        units = phase.waiting()
        if not units:
            log(f"[{_stages(phase)}] {phase.name}: nothing to do")
            continue
        log(f"[{_stages(phase)}] {phase.name}: {len(units)} job{'s' if len(units) > 1 else ''}")
        array = _array(recipe, phase, units)
        command = shlex.split(command_of(phase.kind))
        if "local.jobs.cmd" in command:
            command += ["--name", array.name, "--names", shlex.join(array.names)]
            command += ["--gpu", str(recipe.ngpu)] if phase.kind == "train" else []
        command += [f"{VARIABLE}=1:{len(units)}", array.log, *array.command]
        start = time.monotonic()
        code = _call(command)
        if code != 0:
            raise RecipeError(f"{phase.name} failed; run the same command again when the cause is gone")
        log(f"[{_stages(phase)}] {phase.name}: done in {time.monotonic() - start:.0f} s")
        if phase.show:
            print(array.log_of(1).read_text(encoding="utf-8"), flush=True)


def _call(command: Sequence[str]) -> int:
    with ends_by_signal(), subprocess.Popen(command) as process:
        try:
            return process.wait()
        except SystemExit:
            # Ctrl-C reaches the command by itself, other signals do not; it cancels its jobs and ends.
            process.terminate()
            raise


def _stages(phase: Phase) -> str:
    return "stage " + " and ".join(map(str, phase.stages))


def _array(recipe: Recipe, phase: Phase, units: Sequence[Unit]) -> Array:
    folder = jobs_folder(recipe)
    folder.mkdir(parents=True, exist_ok=True)
    environment = {name: os.environ[name] for name in (*variables(), "LOCAL_SCRATCH") if os.environ.get(name)}
    # As on one machine: what is parallel works in processes, and trainings say how many threads they have.
    environment["OMP_NUM_THREADS"] = "1"
    command = write_commands(folder / f"{phase.name}.json", [unit.command for unit in units], environment)
    log_name = str(folder / f"{phase.name}.{VARIABLE}.log")
    for task in range(1, len(units) + 1):
        Path(log_name.replace(VARIABLE, str(task))).unlink(missing_ok=True)
    return Array(phase.name, 1, len(units), VARIABLE, log_name, command, [unit.name for unit in units])


def detach(recipe: Recipe, todo: Sequence[Phase], config: ClusterConfig) -> None:
    """Submit every phase, each to start when the one before has ended well, and return.

    Args:
        recipe: The invocation.
        todo: The phases, in order.
        config: conf/slurm.yaml.

    Raises:
        RecipeError: When Slurm refuses one; those before are cancelled.
    """
    jobs: list[str] = []
    try:
        with ends_by_signal():
            for phase in todo:
                # What is submitted may change the inputs of what is done now; such a task ends at once if it does not.
                units = phase.units if jobs else phase.waiting()
                if not units:
                    continue
                array = _array(recipe, phase, units)
                resources = _resources(config, phase, recipe.ngpu)
                after = jobs[-1] if jobs else None
                jobs.append(submit(array, resources, kind=phase.kind, config=config, after=after).job)
                log(f"[{_stages(phase)}] {phase.name}: {len(units)} tasks, job {jobs[-1]}")
    except BaseException:
        for job in reversed(jobs):
            cancel(job)
        raise
    log("Submitted. `./run.sh --status` with the same options shows how far it is." if jobs else "nothing to do")


def check_queue(recipe: Recipe, todo: Sequence[Phase]) -> None:
    """Make sure that no job of this run is in the queue: two would write into the same directories.

    Args:
        recipe: The invocation.
        todo: The phases.

    Raises:
        RecipeError: When there is one, naming it.
    """
    for phase in todo:
        submission = read_record(jobs_folder(recipe), phase.name)
        if submission and any(state in ACTIVE - {"COMPLETING"} for state, _ in states(submission.job).values()):
            raise RecipeError(
                f"{phase.name} of this run is in the queue already, as job {submission.job}: wait for it "
                f"(--status shows it), or cancel it first: scancel {submission.job}"
            )


def main() -> None:
    """Run the stages as jobs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detach", default="false")
    args = add_cluster_arguments(parser).parse_args()
    recipe, config = Recipe.from_args(args), load_cluster_config()
    todo = phases(args, config)
    on_slurm = "local.jobs.cmd --backend slurm" in command_of("train")
    if on_slurm:
        check_queue(recipe, todo)
    if args.detach == "true":
        if not on_slurm:
            raise OptionError("--detach needs --cmd_backend slurm")
        detach(recipe, todo, config)
    else:
        run_attached(recipe, todo)


if __name__ == "__main__":
    run_main(main)
