"""Where arrays run: as processes of this machine, on Slurm, or through a site's own program."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from local.common.errors import RecipeError
from local.jobs.array import CommandArray
from local.jobs.processes import Program, run_programs
from local.jobs.resources import ClusterConfig, Resources, memory_bytes
from local.jobs.slurm.records import Submission
from local.jobs.slurm.submission import submit
from local.jobs.slurm.waiting import ends_by_signal, wait


class Backend(Protocol):
    """Runs the jobs of an array."""

    def run(self, array: CommandArray) -> None:
        """Run every job and wait; a job goes on when another fails.

        Raises:
            RecipeError: When jobs failed.
        """


@dataclasses.dataclass(frozen=True)
class Local:
    """Processes of this machine.

    Args:
        resources: What a job asks for: its CPUs and memory limit how many run at once.
    """

    resources: Resources

    def run(self, array: CommandArray) -> None:
        """See Backend."""
        programs = [
            Program(
                array.title(number),
                [word.replace(array.variable, str(number)) for word in array.command],
                array.log_of(number),
                threads=self.resources.cpus,
            )
            for number in array.numbers
        ]
        limit = local_limit(self.resources, cores=len(os.sched_getaffinity(0)), memory=available_memory())
        run_programs(programs, nj=limit, keep_going=True)


@dataclasses.dataclass(frozen=True)
class Slurm:
    """Job arrays of Slurm.

    Args:
        kind: One of local.jobs.resources.KINDS.
        resources: What each job asks for.
        config: The site's environment and patience.
    """

    kind: str
    resources: Resources
    config: ClusterConfig

    def submit(self, array: CommandArray, *, after: str | None = None) -> Submission:
        """Submit an array, to start when the job `after` has ended well, and do not wait for it."""
        return submit(array, self.resources, kind=self.kind, config=self.config, after=after)

    def run(self, array: CommandArray) -> None:
        """See Backend; what was submitted is cancelled when this process is told to end."""
        with ends_by_signal():
            wait(self.submit(array), self.config)


@dataclasses.dataclass(frozen=True)
class SiteProgram:
    """A program with Kaldi's calling convention: queue.pl, slurm.pl, pbs.pl.

    Args:
        command: The program and its options.
    """

    command: Sequence[str]

    def run(self, array: CommandArray) -> None:
        """See Backend; the program itself has said what went wrong."""
        span = f"{array.variable}={array.first}:{array.last}"
        with ends_by_signal(), subprocess.Popen([*self.command, span, array.log, *array.command]) as process:
            try:
                code = process.wait()
            except SystemExit:
                # Ctrl-C reaches the program by itself, other signals do not; it cancels its jobs and ends.
                process.terminate()
                raise
        if code != 0:
            raise RecipeError(f"{self.command[0]} ended with exit code {code}")


def local_limit(resources: Resources, *, cores: int, memory: int) -> int:
    """How many jobs may run at once on this machine.

    Args:
        resources: What a job asks for.
        cores: Of the machine.
        memory: Bytes that are free.

    Returns:
        At least 1.

    Example:
        >>> local_limit(Resources(cpus=2, memory="8G"), cores=8, memory=20 * 2**30)
        2
    """
    limits = [cores // resources.cpus, resources.max_running or cores]
    if resources.memory is not None:
        limits.append(memory // memory_bytes(resources.memory))
    return max(1, min(limits))


def available_memory() -> int:
    """Bytes of memory that programs may still take."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
