"""An array: numbered jobs of one command, each with a log of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class CommandArray:
    """Jobs with numbers in a row, of one command.

    Args:
        name: What it is called in the queue.
        first: The first job's number.
        last: The last job's number.
        variable: The word that stands for the number in the log's name and the command.
        log: The log of each job.
        command: The program and its arguments.
        names: What the jobs are called in messages; default: their numbers.
    """

    name: str
    first: int
    last: int
    variable: str
    log: str
    command: Sequence[str]
    names: Sequence[str] = ()

    @property
    def numbers(self) -> range:
        """The numbers of the jobs."""
        return range(self.first, self.last + 1)

    def title(self, number: int) -> str:
        """What a job is called in messages."""
        return self.names[number - self.first] if self.names else f"{self.name} {number}"

    def log_of(self, number: int) -> Path:
        """Where a job's output goes."""
        return Path(self.log.replace(self.variable, str(number)))
