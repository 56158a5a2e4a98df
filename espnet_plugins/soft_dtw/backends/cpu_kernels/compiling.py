"""How kernels are compiled: once for each machine, anew when any file beside them has changed."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import CellType, FunctionType
from typing import Any

import numba

# Their declared types miss what the decorators do to a signature.
njit: Any = numba.njit
intrinsic: Any = numba.extending.intrinsic


def jit(function: Callable) -> Callable:
    """Compile a kernel.

    Numba compiles anew what it has on disk when the file of a function changes, but not when another does whose
    functions went into it. What a function closes over counts too, so it is made to close over the contents of all
    files of its folder.

    Args:
        function: The kernel.

    Returns:
        The compiled kernel, read from disk where it has been compiled before; compiled once for each process where no
        directory can be written.
    """
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
    stamped = _closing_over(function, _digest(Path(function.__code__.co_filename).parent))
    try:
        return njit(cache=True, **options)(stamped)
    except RuntimeError:
        return njit(**options)(function)


def _closing_over(function: Callable, value: str) -> Callable:
    code = function.__code__
    stamped = FunctionType(
        code.replace(co_freevars=(*code.co_freevars, "digest_of_sources")),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        (*(function.__closure__ or ()), CellType(value)),
    )
    stamped.__doc__, stamped.__module__ = function.__doc__, function.__module__
    return stamped


@cache
def _digest(folder: Path) -> str:
    contents = (path.read_bytes() for path in sorted(folder.glob("*.py")))
    return hashlib.sha256(b"".join(contents)).hexdigest()
