"""Slurm's own programs: sbatch, squeue, scancel, scontrol."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import contextmanager

from local.common.errors import RecipeError

# While Slurm says one of these, a job may still end well.
ACTIVE = frozenset(
    ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED", "RESIZING", "SIGNALING", "STOPPED")
)
# How long an interrupted submission may take to give the number of what it has submitted.
_LAST_SECONDS = 5
_LOOK_SECONDS = 0.2
# Variables of Slurm's that are not those of one job.
_OF_THE_SITE = ("SLURM_CONF", "SLURM_CLUSTERS")


def slurm(*command: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run one of Slurm's programs.

    Raises:
        RecipeError: When it is not installed here.
    """
    with _installed(command[0]):
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


@contextmanager
def _installed(program: str):
    try:
        yield
    except FileNotFoundError:
        raise RecipeError(
            f"'{program}' is not installed here: --cmd_backend slurm runs where jobs are submitted. "
            "tools/slurm_testbed.sh sets up a Slurm of one machine to try"
        ) from None


def sbatch(*words: str, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run sbatch; when this process is told to end meanwhile, cancel what it was submitting.

    Raises:
        subprocess.TimeoutExpired: When Slurm does not answer.
    """
    command = ["sbatch", "--parsable", *words]
    # Inside a job, too: what it has got is not what the new one asks for.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("SLURM_") or name in _OF_THE_SITE
    }
    with _held_signals() as told, _installed("sbatch"):
        # Ctrl-C would end it with the number of the job unsaid.
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        ) as process:
            deadline = time.monotonic() + seconds
            while True:
                try:
                    out, err = process.communicate(timeout=_LOOK_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    if told:
                        deadline = min(deadline, time.monotonic() + _LAST_SECONDS)
                    if time.monotonic() > deadline:
                        process.kill()
                        raise
        if told and process.returncode == 0:
            cancel(job_number(out))
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@contextmanager
def _held_signals():
    """Hold Ctrl-C and requests to end back; give the list of them. They take effect behind the block."""
    told: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda number, _: told.append(number)) for number in numbers}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if told:
            signal.raise_signal(told[0])


def job_number(answer: str) -> str:
    """The number of the job; on a site of several clusters that of the cluster stands behind it."""
    return answer.strip().split(";")[0]


def states(job: str) -> dict[int, tuple[str, str]]:
    """Ask Slurm about the jobs of an array.

    Args:
        job: Slurm's number of the array.

    Returns:
        Number in the array -> (state, reason or node). What Slurm has forgotten is absent.

    Raises:
        RecipeError: When the controller does not answer.
    """
    try:
        result = slurm("squeue", "--noheader", "--array", "--states=all", f"--jobs={job}", "--format=%K|%T|%R")
    except subprocess.TimeoutExpired:
        raise RecipeError(f"squeue does not answer about job {job}") from None
    if result.returncode != 0:
        if "Invalid job id" in result.stderr:
            return {}
        raise RecipeError(f"squeue does not answer about job {job}: {result.stderr.strip()}")
    found = {}
    for line in result.stdout.splitlines():
        number, state, reason = line.split("|", 2)
        if number.isdecimal():
            found[int(number)] = (state, reason.strip("()"))
    return found


def cancel(job: str) -> None:
    """Cancel whatever of a job has not ended."""
    print(f"cancelling job {job}", file=sys.stderr)
    try:
        complaint = slurm("scancel", job).stderr.strip()
    except subprocess.TimeoutExpired:
        complaint = "no answer"
    if complaint and "already" not in complaint:
        print(f"job {job} may still be in the queue, scancel says: {complaint}", file=sys.stderr)


def describe(job: str, number: int) -> Mapping[str, str]:
    """What Slurm remembers of a job in an array, as `scontrol show job` prints it; empty when it has forgotten."""
    try:
        text = slurm("scontrol", "--oneliner", "show", "job", f"{job}_{number}").stdout
    except subprocess.TimeoutExpired:
        return {}
    return dict(word.split("=", 1) for word in text.split() if "=" in word)
