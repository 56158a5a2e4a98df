"""The recipe as jobs of a cluster: each array submitted and waited for, or all at once as a chain."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from local.common.errors import OptionError, RecipeError
from local.common.output import log
from local.common.recipe import Recipe
from local.corpora.corpus import variables
from local.jobs.array import CommandArray
from local.jobs.array_job import VARIABLE, write_commands
from local.jobs.backends import Backend, Slurm
from local.jobs.cmd import backend_of
from local.jobs.resources import load_cluster_config
from local.jobs.slurm.programs import ACTIVE, cancel, states
from local.jobs.slurm.records import read_record
from local.jobs.slurm.waiting import ends_by_signal
from local.pipeline.pipeline import Job, JobArray, Pipeline


def backend_for(kind: str, *, ngpu: int) -> Backend:
    """What cmd.sh says about jobs of a kind.

    Args:
        kind: One of local.jobs.resources.KINDS.
        ngpu: Of run.sh; trainings get them.

    Raises:
        OptionError: When cmd.sh has not been sourced.
    """
    variable = f"{kind}_cmd"
    if variable not in os.environ:
        raise OptionError(f"the variable {variable} is not set: source cmd.sh, as run.sh does")
    return backend_of(os.environ[variable], gpus=ngpu if kind == "train" else None)


def jobs_folder(recipe: Recipe) -> Path:
    """Where logs of jobs lie."""
    return recipe.expdir / "jobs"


def submit_all(pipeline: Pipeline) -> None:
    """Run the stages as jobs, waiting for them or, with --detach, not.

    Args:
        pipeline: What is to be done.

    Raises:
        RecipeError: When an array fails or is refused.
    """
    ngpu = pipeline.recipe.ngpu
    if isinstance(backend_for("train", ngpu=ngpu), Slurm):
        check_queue(pipeline)
    if pipeline.invocation.args.detach:
        detach(pipeline)
        return
    for array in pipeline.arrays():
        run_attached(pipeline, array)


def run_attached(pipeline: Pipeline, array: JobArray) -> None:
    """Submit what is left to do of an array and wait for it.

    Args:
        pipeline: What is to be done.
        array: One of its arrays.

    Raises:
        RecipeError: When it fails.
    """
    jobs = array.jobs_in(pipeline)
    waiting = [job for job in jobs if array.show or not job.is_done()]
    if not waiting:
        log(f"{array.label}: nothing to do")
        return
    log(f"{array.label}: {len(waiting)} job{'s' if len(waiting) > 1 else ''}")
    commands = command_array(pipeline, array, waiting, shards=len(jobs))
    start = time.monotonic()
    try:
        backend_for(array.kind, ngpu=pipeline.recipe.ngpu).run(commands)
    except RecipeError as error:
        remedy = f"{array.name} failed; run the same command again when the cause is gone"
        raise RecipeError(f"{error}\n{remedy}") from error
    log(f"{array.label}: done in {time.monotonic() - start:.0f} s")
    if array.show:
        print(commands.log_of(1).read_text(encoding="utf-8"), flush=True)


def command_array(pipeline: Pipeline, array: JobArray, jobs: Sequence[Job], *, shards: int) -> CommandArray:
    """Write down the commands of jobs; remove the logs of earlier ones.

    Args:
        pipeline: What is to be done.
        array: One of its arrays.
        jobs: Of the array, those to run.
        shards: How many jobs the array has; the number of shards, where it decodes.
    """
    folder = jobs_folder(pipeline.recipe)
    folder.mkdir(parents=True, exist_ok=True)
    kinds = load_cluster_config().kinds
    ngpu = kinds["decode"].gpus if array.kind == "decode" else pipeline.recipe.ngpu
    options = pipeline.invocation.words(nj=kinds["cpu"].cpus, ngpu=ngpu, shards=shards)
    environment = {name: os.environ[name] for name in (*variables(), "LOCAL_SCRATCH") if os.environ.get(name)}
    # As on one machine: what is parallel works in processes, and trainings say how many threads they have.
    environment["OMP_NUM_THREADS"] = "1"
    calls = [array.command(job, options) for job in jobs]
    command = write_commands(folder / f"{array.name}.json", calls, environment)
    log_name = str(folder / f"{array.name}.{VARIABLE}.log")
    made = CommandArray(array.name, 1, len(jobs), VARIABLE, log_name, command, [job.name for job in jobs])
    for number in made.numbers:
        made.log_of(number).unlink(missing_ok=True)
    return made


def detach(pipeline: Pipeline) -> None:
    """Submit every array, each to start when the one before has ended well, and return.

    Args:
        pipeline: What is to be done.

    Raises:
        RecipeError: When Slurm refuses one; those before are cancelled.
    """
    submitted: list[str] = []
    try:
        with ends_by_signal():
            for array in pipeline.arrays():
                jobs = array.jobs_in(pipeline)
                # What is submitted may change the inputs of what is done now; such a job ends at once if it does not.
                waiting = [job for job in jobs if submitted or array.show or not job.is_done()]
                if not waiting:
                    continue
                backend = backend_for(array.kind, ngpu=pipeline.recipe.ngpu)
                if not isinstance(backend, Slurm):
                    raise OptionError(f"--detach needs Slurm; cmd.sh says something else for jobs of kind {array.kind}")
                commands = command_array(pipeline, array, waiting, shards=len(jobs))
                submitted.append(backend.submit(commands, after=submitted[-1] if submitted else None).job)
                log(f"{array.label}: {len(waiting)} jobs, submitted as {submitted[-1]}")
    except BaseException:
        for number in reversed(submitted):
            cancel(number)
        raise
    log("Submitted. `./run.sh --status` with the same options shows how far it is." if submitted else "nothing to do")


def check_queue(pipeline: Pipeline) -> None:
    """Make sure that no job of this run is in the queue: two would write into the same directories.

    Args:
        pipeline: What is to be done.

    Raises:
        RecipeError: When there is one, naming it.
    """
    for array in pipeline.arrays():
        submission = read_record(jobs_folder(pipeline.recipe), array.name)
        if submission and any(state in ACTIVE - {"COMPLETING"} for state, _ in states(submission.job).values()):
            raise RecipeError(
                f"{array.name} of this run is in the queue already, as job {submission.job}: wait for it "
                f"(--status shows it), or cancel it first: scancel {submission.job}"
            )
