"""Handing arrays to Slurm."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from local.common.errors import RecipeError
from local.common.output import atomic_path, log
from local.jobs.array import CommandArray
from local.jobs.resources import ClusterConfig, Resources
from local.jobs.slurm.messages import refusal, waiting, waiting_helps
from local.jobs.slurm.programs import job_number, sbatch
from local.jobs.slurm.records import Submission, write_record
from local.jobs.slurm.script import options, script

# How long sbatch may take; when the queue is full it waits by itself.
_LEAST_SECONDS, _MOST_SECONDS = 10, 30


def submit(
    array: CommandArray,
    resources: Resources,
    *,
    kind: str,
    config: ClusterConfig,
    after: str | None = None,
) -> Submission:
    """Hand an array to Slurm; wait for a place when the queue is full.

    Args:
        array: What to run.
        resources: What each job asks for.
        kind: One of local.jobs.resources.KINDS.
        config: Its environment and patience.
        after: A job that must end well first; if it does not, this one is cancelled.

    Returns:
        What wait() takes.

    Raises:
        RecipeError: When Slurm refuses the job, with the remedy.
    """
    folder = (Path(array.log).parent / "q").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{array.name}.sh"
    with atomic_path(path) as tmp:
        tmp.write_text(script(array, resources, kind=kind, folder=folder))
    environment = [name for name in config.environment if name in os.environ]
    words = options(array, resources, kind=kind, folder=folder, environment=environment)
    if after is not None:
        words += [f"--dependency=afterok:{after}", "--kill-on-invalid-dep=yes"]
    deadline = time.monotonic() + 60 * config.patience_minutes
    told = False
    while True:
        try:
            patience = max(_LEAST_SECONDS, deadline - time.monotonic())
            result = sbatch(*words, str(path), seconds=min(_MOST_SECONDS, patience))
            complaint = result.stderr.strip()
        except subprocess.TimeoutExpired as error:
            # sbatch itself waits and tries again when the controller takes no more jobs.
            result, complaint = None, (error.stderr or b"").decode("utf-8", "replace").strip()
            if not waiting_helps(complaint):
                # What it said, if anything, is not why it hangs.
                complaint = f"{complaint}\nsbatch did not answer".strip()
        if result is not None and result.returncode == 0:
            submission = Submission(job_number(result.stdout), array, folder)
            write_record(submission)
            return submission
        busy = waiting_helps(complaint)
        if not busy or time.monotonic() > deadline:
            raise RecipeError(refusal(array, resources, path, complaint, busy=busy))
        if not told:
            log(waiting(array, complaint))
            told = True
        time.sleep(config.poll_seconds)
