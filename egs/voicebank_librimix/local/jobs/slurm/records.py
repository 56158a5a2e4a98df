"""Arrays that Slurm has accepted: where their exit codes and Slurm's words on them lie; who submitted them is gone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from local.common.errors import RecipeError
from local.common.output import atomic_path
from local.jobs.array import CommandArray


@dataclasses.dataclass(frozen=True)
class Submission:
    """An array that Slurm has accepted.

    Args:
        job: Slurm's number.
        array: What was submitted.
        folder: Where scripts, Slurm's own messages and the jobs' exit codes lie.
    """

    job: str
    array: CommandArray
    folder: Path

    def exit_code(self, number: int) -> int | None:
        """The exit code that a job left; None while it has not ended by itself."""
        path = self.folder / f"{self.array.name}.{self.job}_{number}.code"
        try:
            return int(path.read_text())
        except (FileNotFoundError, ValueError):
            return None

    def messages(self, number: int) -> Path:
        """What Slurm itself had to say about a job."""
        return self.folder / f"{self.array.name}.{self.job}_{number}.out"


def write_record(submission: Submission) -> None:
    """Leave the number of the array and the names of its jobs for whoever asks later."""
    array = submission.array
    titles = [array.title(number) for number in array.numbers]
    record = {"job": submission.job, "log": array.log, "variable": array.variable, "units": titles}
    with atomic_path(submission.folder / f"{array.name}.json") as tmp:
        tmp.write_text(json.dumps(record) + "\n")


def read_record(folder: Path, name: str) -> Submission | None:
    """Find the last submission of an array.

    Args:
        folder: Where its logs lie.
        name: What the array is called.

    Returns:
        The submission; None when there was none.

    Raises:
        RecipeError: When its record is damaged.
    """
    path = folder / "q" / f"{name}.json"
    try:
        record = json.loads(path.read_text())
        array = CommandArray(name, 1, len(record["units"]), record["variable"], record["log"], [], record["units"])
        return Submission(record["job"], array, folder / "q")
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise RecipeError(
            f"{path} is damaged: see with `squeue --me` that no job of this run is there, then remove it"
        ) from None
