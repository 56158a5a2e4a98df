"""Waiting for the tasks of a job array: progress, and a clear message for every way to fail."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections import Counter
from contextlib import contextmanager

from local.common.steps import RecipeError, log
from local.jobs.processes import log_tail
from local.jobs.resources import ClusterConfig
from local.jobs.slurm import ACTIVE, Submission, cancel, describe, states

_REPORT_SECONDS = 10.0
# How long a task may be gone from the queue before its exit code shows on a slow shared file system.
_GRACE_SECONDS = 15.0
_SILENT_SECONDS = 300.0
# States in which an exit code may be there that does not show yet.
_QUIET = ("gone", "COMPLETED", "FAILED")
# Pending for one of these, a job waits for ever.
_HOPELESS = ("BadConstraints", "PartitionTimeLimit", "PartitionNodeLimit", "PerJob", "requeued held")
# What slurmstepd says where Slurm's state is only FAILED or CANCELLED.
_OVER_MEMORY = re.compile(r"(slurmstepd|srun)\S*: .*(exceeded .*memory limit|oom.?kill|out of memory)", re.IGNORECASE)
_ADVICE = {
    "OUT_OF_MEMORY": "It used more memory than it asked for: raise `memory` in conf/slurm.yaml.",
    "TIMEOUT": "It reached its time limit: raise `time` in conf/slurm.yaml, or run again to continue.",
    "NODE_FAIL": "Its node failed. Run the same command again to continue.",
    "PREEMPTED": "It was preempted. Run the same command again to continue.",
    "CANCELLED": "Somebody cancelled it. Run the same command again to continue.",
    "BOOT_FAIL": "Its node did not start. Run the same command again.",
}


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
    """Wait until every task has ended; the others go on when one fails.

    Args:
        submission: What submit() gave. It is cancelled when this process is interrupted; by signals other than
            Ctrl-C, within ends_by_signal().
        config: Its poll_seconds.

    Raises:
        RecipeError: When tasks failed, naming each with its job, its log and the log's last lines.
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
    open_tasks = set(array.tasks)
    gone: dict[int, float] = {}
    failures: dict[int, str] = {}
    reported = answered = time.monotonic()
    while open_tasks:
        time.sleep(config.poll_seconds)
        try:
            found = states(submission.job)
            answered = time.monotonic()
        except RecipeError:
            if time.monotonic() - answered > _SILENT_SECONDS:
                raise
            continue
        for task in sorted(open_tasks):
            state, reason = found.get(task, ("gone", ""))
            code = submission.exit_code(task)
            if state == "PENDING" and any(word in reason for word in _HOPELESS):
                cancel(f"{submission.job}_{task}")
                failures[task] = _failure(submission, task, f"cannot start ({reason}); see conf/slurm.yaml")
            elif code is not None:
                if code != 0:
                    is_over = state == "OUT_OF_MEMORY" or _over_memory(submission, task)
                    memory = f". {_ADVICE['OUT_OF_MEMORY']}" if is_over else ""
                    failures[task] = _failure(submission, task, f"failed with exit code {code}{memory}")
            elif state in ACTIVE:
                gone.pop(task, None)
                continue
            elif time.monotonic() - gone.setdefault(task, time.monotonic()) < _GRACE_SECONDS and state in _QUIET:
                continue
            elif state != "COMPLETED":
                failures[task] = _failure(submission, task, _reason(submission, task, state))
            open_tasks.discard(task)
            if task in failures:
                log(f"  {array.title(task)} failed; its log: {array.log_of(task)}")
        if open_tasks and time.monotonic() - reported > _REPORT_SECONDS:
            reported = time.monotonic()
            log("  " + _progress(submission, open_tasks, found))
    return failures


def _progress(submission: Submission, open_tasks: set[int], found: dict[int, tuple[str, str]]) -> str:
    array = submission.array
    ended = len(array.tasks) - len(open_tasks)
    parts = [f"job {submission.job}: {ended} of {len(array.tasks)} ended"]
    places = {task: found.get(task, ("", "")) for task in sorted(open_tasks)}
    waiting = Counter(reason for state, reason in places.values() if state == "PENDING")
    parts += [f"{count} waiting ({reason})" for reason, count in waiting.items()]
    for task, (state, _) in places.items():
        if state == "RUNNING":
            last = log_tail(array.log_of(task), 1)
            parts.append(f"{array.title(task)}: {last[0].strip() if last else 'started'}")
    return "; ".join(parts)


def _over_memory(submission: Submission, task: int) -> bool:
    # Of a step, such as a training, in the log; of the job itself, in what Slurm had to say.
    logs = (submission.messages(task), submission.array.log_of(task))
    return any(_OVER_MEMORY.search("\n".join(log_tail(path))) for path in logs)


def _reason(submission: Submission, task: int, state: str) -> str:
    known = describe(submission.job, task)
    state = known.get("JobState", state) if state == "gone" else state
    if _over_memory(submission, task):
        state = "OUT_OF_MEMORY"
    where = f" on {known['NodeList']}" if known.get("NodeList", "(null)") != "(null)" else ""
    return f"ended as {state}{where}. {_ADVICE.get(state, 'Run the same command again to continue.')}"


def _failure(submission: Submission, task: int, why: str) -> str:
    array = submission.array
    lines = [f"{array.title(task)} (job {submission.job}_{task}) {why}"]
    for path in (array.log_of(task), submission.messages(task)):
        tail = log_tail(path)
        if tail:
            lines += [f"The last lines of {path}:", *(f"  {line}" for line in tail)]
    if len(lines) == 1:
        lines.append(f"It wrote no log ({array.log_of(task)}).")
    return "\n  ".join(lines)
