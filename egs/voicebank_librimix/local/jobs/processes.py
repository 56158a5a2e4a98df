"""Running programs with logs: bounded in number, with progress, and with the log's tail on failure."""

from __future__ import annotations

import collections
import ctypes
import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from local.common.errors import RecipeError, all_in_one
from local.common.output import log

# The exit code of a training that was told to stop and has saved (EX_TEMPFAIL of sysexits.h).
REQUEUE = 75
_TAIL_LINES = 15
_POLL_SECONDS = 0.2
_REPORT_SECONDS = 10.0
# Within an epoch, how often its batches are told.
_BATCH_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1
# Threads of libgomp that wait for one another spin this often, then sleep. By itself it is 300,000 times: beside other
# busy processes the cores go to waiting. Measured by benchmarks/waiting_threads.py, see docs/performance.md.
_SPINS = "10000"
# glibc gives large freed blocks back to the system and asks for them again, page by page, in every update. Below these
# bytes it keeps them: the same bits without the page faults. Measured by benchmarks/kept_memory.py, see
# docs/performance.md.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(64 << 20), "MALLOC_TRIM_THRESHOLD_": str(512 << 20)}
# What ESPnet's trainer logs at the start of each epoch.
_EPOCH = re.compile(r"(\d+)/(\d+)epoch started(?:\. Estimated time to finish: (.+))?$")
# ... and every so many batches.
_BATCHES = re.compile(r"\d+epoch:train:\d+-(\d+)batch: ")
# Of seconds in such an estimate: no estimate is as good as that.
_FRACTION = re.compile(r"(?<=\d)\.\d+(?= seconds?)")


@dataclasses.dataclass(frozen=True)
class Program:
    """A program to run.

    Args:
        name: What it is called in messages.
        command: The program and its arguments; no shell sees them.
        log: Where its output goes, appended.
        threads: Threads its numerical libraries may use. The result of a training depends on it in the last
            digits, so it is a setting and not derived from the machine.
    """

    name: str
    command: Sequence[str]
    log: Path
    threads: int = 1


def _die_with_parent() -> None:
    """Ask the kernel to end this process when its parent dies, so that a killed recipe leaves nothing behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def environment(threads: int) -> Mapping[str, str]:
    """What a program of the recipe is started with: this process's environment, its threads, waiting and memory.

    Args:
        threads: Threads its numerical libraries may use.
    """
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    # What the user has chosen for memory and for waiting threads stays.
    waiting = {} if {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys() else {"GOMP_SPINCOUNT": _SPINS}
    return {**KEEP_MEMORY, **os.environ, **limits, **waiting, "NUMBA_NUM_THREADS": str(threads)}


class StoppedToContinue(RecipeError):
    """A program that saved its work when it was told to stop; the exit code asks for another start."""

    exit_code = REQUEUE


def log_tail(path: Path, lines: int = _TAIL_LINES) -> list[str]:
    """The last lines of a log; none where there is no log yet."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    except OSError:
        return []


def progress_in(lines: Sequence[str]) -> str:
    """The newest sign of progress in a log, in words; nothing where it has none.

    Example:
        >>> lines = ["INFO: 2/6epoch started. Estimated time to finish: 3 hours", "INFO: 2epoch:train:91-100batch: "]
        >>> progress_in(lines[:1])
        'epoch 2 of 6, 3 hours left'
        >>> progress_in(lines)
        'epoch 2 of 6, batch 100 (3 hours left when it began)'
    """
    batch = ""
    for line in reversed(lines):
        if match := _EPOCH.search(line):
            epoch, last, left = match.groups()
            left = left and f"{_FRACTION.sub('', left)} left"
            if not batch:
                return f"epoch {epoch} of {last}" + (f", {left}" if left else "")
            return f"epoch {epoch} of {last}, {batch}" + (f" ({left} when it began)" if left else "")
        if line.startswith("PROGRESS "):
            return line.removeprefix("PROGRESS ")
        if not batch and (match := _BATCHES.search(line)):
            batch = f"batch {match[1]}"
    return batch


class _Running:
    def __init__(self, program: Program):
        self.program = program
        program.log.parent.mkdir(parents=True, exist_ok=True)
        with program.log.open("ab") as out:
            self.position = out.tell()
            self.process = subprocess.Popen(
                list(program.command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment(program.threads),
                preexec_fn=_die_with_parent,
            )
        self.progress = "started"
        self.epoch: list[str] = []

    def read_progress(self) -> str:
        """Follow the log from where it was read last; give the newest sign of progress in words."""
        try:
            with self.program.log.open("rb") as stream:
                stream.seek(self.position)
                chunk = stream.read()
        except OSError:
            # No reason to end hours of training.
            return self.progress
        complete = chunk[: chunk.rfind(b"\n") + 1]
        self.position += len(complete)
        lines = complete.decode("utf-8", "replace").splitlines()
        # An epoch's batches are told with it, though its start was read before.
        self.epoch = [line for line in lines if _EPOCH.search(line)][-1:] or self.epoch
        if any(progress_in([line]) for line in lines):
            self.progress = progress_in([*self.epoch, *lines])
        return self.progress


def run_programs(programs: Sequence[Program], *, nj: int, keep_going: bool = False) -> None:
    """Run every program, at most `nj` at a time, with a line of progress every ten seconds where something is new.

    Args:
        programs: What to run, in order.
        nj: How many may run at once.
        keep_going: Let the others finish when one fails.

    Raises:
        RecipeError: When one fails, after the others were ended, with its log's last lines.
        StoppedToContinue: When a training was told to stop and has saved.

    Example:
        >>> import tempfile
        >>> log_file = Path(tempfile.mkdtemp()) / "echo.log"
        >>> run_programs([Program("echo", ["echo", "done"], log_file)], nj=1)
        >>> log_file.read_text()
        'done\\n'
    """
    waiting = collections.deque(programs)
    running: list[_Running] = []
    failures: list[RecipeError] = []
    reported, said, told, begun = time.monotonic(), 0.0, "", list[list[str]]()
    try:
        while waiting or running:
            while waiting and len(running) < nj:
                running.append(_Running(waiting.popleft()))
            time.sleep(_POLL_SECONDS)
            for current in list(running):
                code = current.process.poll()
                if code is None:
                    continue
                running.remove(current)
                if code != 0:
                    failures.append(_failure(current.program, code))
                    if not keep_going:
                        raise failures[0]
            if running and time.monotonic() - reported > _REPORT_SECONDS:
                reported = time.monotonic()
                states = [f"{current.program.name}: {current.read_progress()}" for current in running]
                line = "; ".join(states) + (f"; {len(waiting)} waiting" if waiting else "")
                # What was estimated at an epoch's start does not get truer by being said again.
                epochs = [current.epoch or [current.progress] for current in running]
                if line != told and (epochs != begun or reported - said > _BATCH_SECONDS):
                    log(f"  {line}")
                    said, told, begun = reported, line, epochs
    finally:
        for current in running:
            current.process.kill()
            current.process.wait()
    if failures:
        raise all_in_one(failures)


def _failure(program: Program, code: int) -> RecipeError:
    if code == REQUEUE:
        told = f"{program.name} was told to stop and has saved. Run the same command again to continue"
        return StoppedToContinue(told)
    how = f"was killed by signal {-code}" if code < 0 else f"failed with exit code {code}"
    return RecipeError("\n  ".join([f"{program.name} {how}. The last lines of {program.log}:", *log_tail(program.log)]))
