"""Errors that the user can mend."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any


class RecipeError(Exception):
    """Something the user can mend; shown as one line, exit code 1."""

    exit_code = 1


class MissingInput(RecipeError):
    """A file that an earlier stage makes is not there; exit code 2."""

    exit_code = 2

    def __init__(self, path: Path, stage: int, *, why: str = "is missing"):
        super().__init__(f"{path} {why}: stage {stage} makes it. Run with --stage {stage} first.")
        self.path, self.stage = path, stage
        self._given = (path, stage, why)

    def __reduce__(self) -> tuple[Any, ...]:
        """Comes whole from one process to another."""
        path, stage, why = self._given
        return partial(MissingInput, why=why), (path, stage)


class OptionError(RecipeError):
    """A wrong option or setting; exit code 2."""

    exit_code = 2


def all_in_one(errors: Sequence[RecipeError]) -> RecipeError:
    """One error that says what several jobs say, each thing once.

    Example:
        >>> missing = MissingInput(Path("dump/train"), 2)
        >>> all_in_one([missing, missing]) is missing
        True
        >>> print(all_in_one([RecipeError("no disk"), RecipeError("no memory")]))
        no disk
        no memory
    """
    said = {str(error): error for error in errors}
    return next(iter(said.values())) if len(said) == 1 else RecipeError("\n".join(said))
