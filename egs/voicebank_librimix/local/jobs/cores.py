"""How many threads a training gets beside other programs."""

from __future__ import annotations

import os
import time
from pathlib import Path

from local.common.errors import RecipeError
from local.common.output import atomic_path, log

_STAT = Path("/proc/stat")
# How long the cores are watched.
_SECONDS = 1.0
# So much of a core may be missing: a system is never quite idle.
_MISSING = 0.25
NOTE = "threads"


def free_cores(seconds: float = _SECONDS) -> float | None:
    """How many cores that this process may use nobody used, watched for a while; None where Linux does not say."""
    try:
        before = _times()
        time.sleep(seconds)
        after = _times()
    except (OSError, ValueError):
        return None
    passed = [(idle - was_idle, total - was) for (idle, total), (was_idle, was) in zip(after, before, strict=False)]
    return sum(idle / total for idle, total in passed if total > 0)


def _times() -> list[tuple[int, int]]:
    """Ticks since the system's start for each core of this process: idle ones, and all."""
    allowed, found = os.sched_getaffinity(0), []
    for line in _STAT.read_text().splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name != "cpu" and int(name[3:]) in allowed:
            # user nice system idle iowait irq softirq steal; what guests used is in `user` already.
            counts = [int(tick) for tick in ticks[:8]]
            found.append((sum(counts[3:5]), sum(counts)))
    return found


def threads_for(wanted: int, folder: Path) -> int:
    """The threads of a training: fewer than are wanted where other programs keep the cores busy.

    Threads wait for each other at every operation: one that has to wait for its core, too, holds all up, and a training
    takes several times as long as with fewer threads (docs/performance.md). The number changes the last digits of a
    result, so a training that is continued keeps its own.

    Args:
        wanted: What the preset says.
        folder: The training's, where the number is noted.

    Raises:
        RecipeError: When the note is damaged.
    """
    note = folder / NOTE
    if note.exists():
        text = note.read_text(encoding="utf-8", errors="replace").strip()
        if not (text.isascii() and text.isdecimal() and int(text) > 0):
            raise RecipeError(f"{note} is damaged: it holds {text[:20]!r}; write the number of threads into it")
        return int(text)
    # One thread waits for nobody; a training of an earlier version had what was wanted.
    if wanted == 1 or (folder / "train.log").exists() or (free := free_cores()) is None:
        return wanted
    threads = max(1, min(wanted, int(free + _MISSING)))
    if threads < wanted:
        log(
            f"{folder.parent.name}: {threads} of {wanted} threads, which would wait for each other: "
            f"other programs leave {free:.1f} cores free"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(note) as tmp:
        tmp.write_text(f"{threads}\n")
    return threads
