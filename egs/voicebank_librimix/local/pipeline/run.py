"""The stages that run.sh is asked for: on this machine, as jobs of a cluster, or only looked at."""

from __future__ import annotations

import io
import signal
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

# Ctrl-C during the imports below ends the program without their traceback; run_main() says more from there on.
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from espnet_plugins.imports import import_within
from local.common.errors import RecipeError, all_in_one
from local.common.output import log
from local.common.program import run_main
from local.common.stages import Stage
from local.jobs.processes import Program, run_programs
from local.pipeline.options import Invocation, parse

# Of ESPnet (202511, 202611): print, when imported, that they do without flash-attn.
_PRINTING = [f"{package}.nets.pytorch_backend.transformer.attention" for package in ("espnet", "espnet2.legacy")]

if TYPE_CHECKING:
    from local.pipeline.pipeline import Job, JobArray, Pipeline


def run_here(pipeline: Pipeline) -> None:
    """Do the stages on this machine, one array after the other.

    Args:
        pipeline: What is to be done.

    Raises:
        RecipeError: When a job fails; those beside it are finished first, but for decoding.
    """
    how = {"in turn": _in_turn, "in threads": _in_threads, "in processes": _in_processes}
    for array in pipeline.arrays():
        how[array.here](pipeline, array, array.jobs_in(pipeline))


def _check_free(jobs: Sequence[Job]) -> None:
    """See to it that no other recipe is at one of these: each would do a part, and refuse the other its part."""
    for job in jobs:
        for step in job.steps:
            step.check_free()


def _in_turn(pipeline: Pipeline, array: JobArray, jobs: Sequence[Job]) -> None:
    for job in jobs:
        job.work()


def _in_threads(pipeline: Pipeline, array: JobArray, jobs: Sequence[Job]) -> None:
    _check_free(jobs)
    with ThreadPoolExecutor(max_workers=pipeline.recipe.nj if pipeline.recipe.ngpu == 0 else 1) as pool:
        futures = [pool.submit(job.work) for job in jobs]
    # All have ended here: each failure is told, not the first alone.
    failures = [error for future in futures if (error := future.exception()) is not None]
    for error in failures:
        if not isinstance(error, RecipeError):
            raise error
    if failures:
        raise all_in_one([error for error in failures if isinstance(error, RecipeError)])


def _in_processes(pipeline: Pipeline, array: JobArray, jobs: Sequence[Job]) -> None:
    waiting = [job for job in jobs if not job.done()]
    if not waiting:
        log(f"{array.label}: nothing to do")
        return
    _check_free(waiting)
    log(f"{array.label}: {len(waiting)} of {len(jobs)} jobs")
    options = pipeline.invocation.words(shards=len(jobs))
    folder = pipeline.recipe.expdir / array.name
    programs = [
        Program(job.name, array.command(job, options), folder / f"{job.name.replace(' ', '.')}.log") for job in waiting
    ]
    run_programs(programs, nj=pipeline.recipe.nj)


def run(invocation: Invocation) -> None:
    """Do what was asked for.

    Args:
        invocation: The options.
    """
    # Behind the check of the options: these import all that the stages need.
    from local.pipeline.dry_run import beginning, forecast, work_ahead
    from local.pipeline.pipeline import Pipeline
    from local.pipeline.status import print_status
    from local.pipeline.submit import submit_all

    pipeline, recipe = Pipeline(invocation), invocation.recipe
    if invocation.args.status:
        print_status(pipeline)
        return
    names = " ".join(run.name for run in invocation.runs)
    log(f"preset {recipe.name}, {recipe.nj} processes, {recipe.ngpu} GPUs; runs: {names}")
    if invocation.args.dry_run:
        stages = {*invocation.stages}
        parts = [beginning(pipeline)]
        parts += [forecast(pipeline.corpora)] if stages & {Stage.CORPORA, Stage.DATA} else []
        parts += [work_ahead(pipeline.corpora, pipeline.experiment, stages=stages)]
        print("\n".join(part for part in parts if part))
    elif invocation.args.cmd_backend == "local":
        run_here(pipeline)
    else:
        submit_all(pipeline)


def _quiet_console() -> None:
    """Keep off the console what other people's modules warn of, unless `-W` or PYTHONWARNINGS says otherwise.

    Warnings of the recipe and of its package stay.
    """
    if not sys.warnoptions:
        import_within(_PRINTING, lambda: redirect_stdout(io.StringIO()))
        warnings.filterwarnings("ignore", module=r"(?!espnet_plugins\b|local\b|__main__\b)")


def main() -> None:
    """Do what the command line asks for."""
    _quiet_console()
    run(parse(sys.argv[1:]))


if __name__ == "__main__":
    run_main(main)
