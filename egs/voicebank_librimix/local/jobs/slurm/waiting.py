"""Waiting for the jobs of an array."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import contextmanager

from local.common.errors import RecipeError
from local.common.output import log
from local.jobs.resources import ClusterConfig
from local.jobs.slurm.messages import failure, progress, why_ended, why_failed
from local.jobs.slurm.programs import ACTIVE, cancel, states
from local.jobs.slurm.records import Submission

_REPORT_SECONDS = 10.0
# How long a job may be gone from the queue before its exit code shows on a slow shared file system.
_GRACE_SECONDS = 15.0
_SILENT_SECONDS = 300.0
# States in which an exit code may be there that does not show yet.
_QUIET = ("gone", "COMPLETED", "FAILED")
# Pending for one of these, a job waits for ever.
_HOPELESS = ("BadConstraints", "PartitionTimeLimit", "PartitionNodeLimit", "PerJob", "requeued held")


@contextmanager
def ends_by_signal():
    """Turn SIGTERM and SIGHUP into SystemExit, so that what was submitted is cancelled."""

    def end(number, _frame):
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def wait(submission: Submission, config: ClusterConfig) -> None:
    """Wait until every job has ended; the others go on when one fails.

    Args:
        submission: What submit() gave. It is cancelled when this process is interrupted; by signals other than
            Ctrl-C, within ends_by_signal().
        config: Its poll_seconds.

    Raises:
        RecipeError: When jobs failed, naming each with its number, its log and the log's last lines.
    """
    try:
        failures = _wait(submission, config)
    except BaseException:
        cancel(submission.job)
        raise
    if failures:
        raise RecipeError("\n".join(failures.values()))


def _wait(submission: Submission, config: ClusterConfig) -> dict[int, str]:
    array = submission.array
    unfinished = set(array.numbers)
    gone: dict[int, float] = {}
    failures: dict[int, str] = {}
    reported = answered = time.monotonic()
    while unfinished:
        time.sleep(config.poll_seconds)
        try:
            found = states(submission.job)
            answered = time.monotonic()
        except RecipeError:
            if time.monotonic() - answered > _SILENT_SECONDS:
                raise
            continue
        for number in sorted(unfinished):
            state, reason = found.get(number, ("gone", ""))
            code = submission.exit_code(number)
            if state == "PENDING" and any(word in reason for word in _HOPELESS):
                cancel(f"{submission.job}_{number}")
                failures[number] = failure(submission, number, f"cannot start ({reason}); see conf/slurm.yaml")
            elif code is not None:
                if code != 0:
                    failures[number] = failure(submission, number, why_failed(submission, number, state, code))
            elif state in ACTIVE:
                gone.pop(number, None)
                continue
            elif time.monotonic() - gone.setdefault(number, time.monotonic()) < _GRACE_SECONDS and state in _QUIET:
                continue
            elif state != "COMPLETED":
                failures[number] = failure(submission, number, why_ended(submission, number, state))
            unfinished.discard(number)
            if number in failures:
                log(f"  {array.title(number)} failed; its log: {array.log_of(number)}")
        if unfinished and time.monotonic() - reported > _REPORT_SECONDS:
            reported = time.monotonic()
            log("  " + progress(submission, unfinished, found))
    return failures
