"""Other programs at work on the same cores, for benchmarks that look at them."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator


def spin() -> None:
    """Keep a core busy."""
    while True:
        pass


@contextlib.contextmanager
def busy_cores(count: int) -> Iterator[None]:
    """Inside, that many processes keep cores busy, at normal priority."""
    others = [multiprocessing.Process(target=spin, daemon=True) for _ in range(count)]
    for other in others:
        other.start()
    try:
        yield
    finally:
        for other in others:
            other.kill()
