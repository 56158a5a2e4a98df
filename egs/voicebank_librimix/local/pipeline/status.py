"""How far a run is: every job of every stage, its number in the queue, its progress."""

from __future__ import annotations

import shutil

from local.common.errors import RecipeError
from local.jobs.processes import log_tail, progress_in
from local.jobs.slurm.programs import states
from local.jobs.slurm.records import read_record
from local.pipeline.pipeline import Job, Pipeline
from local.pipeline.submit import jobs_folder
from local.stages.train_command import training_log

# An epoch of a long training may log as many.
_LOG_LINES = 10_000
_HEADER = ("stage", "part", "job", "state", "progress")


def rows(pipeline: Pipeline) -> list[tuple[str, str, str, str, str]]:
    """Collect stage, name, number in the queue, state and progress of every job.

    Args:
        pipeline: What is to be done.

    Returns:
        A row per job.
    """
    found = []
    for array in pipeline.arrays():
        submitted = read_record(jobs_folder(pipeline.recipe), array.name)
        queue = _states(submitted.job) if submitted else {}
        silent = queue is None
        for job in array.jobs_in(pipeline):
            number, state, progress = "", "", ""
            if submitted and job.name in submitted.array.names:
                place = submitted.array.names.index(job.name) + 1
                number = f"{submitted.job}_{place}"
                # Who does not answer has not said that the job is waiting.
                state, reason = (queue or {}).get(place, ("unknown" if silent else "", ""))
                code = submitted.exit_code(place)
                if code is not None:
                    state = "done" if code == 0 else f"failed ({code})"
                tail = log_tail(submitted.array.log_of(place), 1)
                progress = reason if state == "PENDING" else "".join(tail).strip()
                if silent and code is None:
                    progress = f"squeue does not answer; {progress}".strip()
            if job.is_done():
                state = "done"
            elif not number:
                state, progress = _here(job)
            stages = "+".join(map(str, array.stages))
            found.append((stages, job.name, number, state.lower() or "waiting", progress))
    return found


def _here(job: Job) -> tuple[str, str]:
    """State and progress of a job that no queue knows: on this machine, or not begun."""
    found = [(step.state(), step) for step in job.steps]
    done = sum(state == "done" for state, _ in found)
    share = f"{done} of {len(found)} done" if done else ""
    for wanted in ("running", "stopped"):
        for state, step in found:
            if state == wanted:
                return state, progress_in(log_tail(training_log(step), _LOG_LINES)) or step.progress() or share
    return "waiting", share


def _states(job: str) -> dict[int, tuple[str, str]] | None:
    """What Slurm says of the jobs of an array; None where it does not answer."""
    try:
        return states(job)
    except RecipeError:
        return None


def print_status(pipeline: Pipeline) -> None:
    """Print the table."""
    table = [_HEADER, *rows(pipeline)]
    widths = [max(len(row[column]) for row in table) for column in range(4)]
    width = shutil.get_terminal_size((160, 24)).columns
    for row in table:
        line = "  ".join([*(cell.ljust(size) for cell, size in zip(row, widths, strict=False)), row[4]])
        print(line.rstrip()[:width])
