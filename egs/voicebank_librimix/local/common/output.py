"""What a program says, and the files that it writes, whole or not at all."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path

from espnet_plugins import atomic
from local.common.errors import RecipeError


def log(message: str) -> None:
    """Print a line with the time, at once."""
    print(f"{time.strftime('%FT%T')} {message}", flush=True)


@contextmanager
def atomic_path(path: Path):
    """The library's atomic_path(), with an error for the user.

    Raises:
        RecipeError: When it cannot be written, a full disk among the reasons.

    Example:
        >>> with atomic_path(Path("/dev/null/list.txt")) as tmp:
        ...     pass
        Traceback (most recent call last):
        local.common.errors.RecipeError: cannot write /dev/null/list.txt: File exists
    """
    try:
        with atomic.atomic_path(path) as tmp:
            yield tmp
    except OSError as error:
        raise RecipeError(f"cannot write {path}: {error.strerror or error}") from error
