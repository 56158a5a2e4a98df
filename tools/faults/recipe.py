"""One run of the recipe in a session of its own: watched by its lines, killed as a whole, its last words judged."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from faults.plan import part_of

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "egs" / "voicebank_librimix"
# A run that takes longer hangs.
LONGEST = 1800.0
_STEP = re.compile(r"^(\S+) \[stage (\d+)[^\]]*\] (\S+)", re.MULTILINE)
_ERROR = re.compile(r"^\S+: error: ")
_TABLE = "Word error rate (%)"


def command(root: Path, preset: Path, options: Sequence[str] = ()) -> list[str]:
    """What run.sh starts, behind its check of the environment, which takes as long as a small stage.

    Args:
        root: Gets downloads, data, dump and exp.
        preset: The preset's file.
        options: Further ones, `--name=value`.
    """
    folders = {"downloads": "downloads", "datadir": "data", "dumpdir": "dump", "expdir": "exp"}
    words = [f"--{option}={root / name}" for option, name in folders.items()]
    return [sys.executable, "-m", "local.pipeline.run", f"--preset={preset}", *words, "--nj=2", *options]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """That of path.sh, and what else is given."""
    known = {**os.environ, "PYTHONPATH": f"{RECIPE}:{ROOT}", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    return {**known, "LC_ALL": "C.UTF-8", **(more or {})}


class Session:
    """A run that has been started.

    Args:
        command: Its program and arguments.
        folder: Gets its output, NAME.out and NAME.err.
        name: What the files are called.
        more: To be added to its environment.
    """

    def __init__(self, command: Sequence[str], folder: Path, name: str, more: Mapping[str, str] | None = None):
        self.output, self.errors = folder / f"{name}.out", folder / f"{name}.err"
        with self.output.open("wb") as out, self.errors.open("wb") as err:
            self.process = subprocess.Popen(
                list(command),
                cwd=RECIPE,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment(more),
                start_new_session=True,
            )
        self.started = time.monotonic()

    @property
    def printed(self) -> str:
        """What it has printed so far."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    @property
    def part(self) -> str:
        """The part of the recipe that it is at; empty before the first."""
        steps = _STEP.findall(self.printed)
        return part_of(int(steps[-1][1]), steps[-1][2]) if steps else ""

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self.process.poll()

    def wait(self, seconds: float = LONGEST) -> int | None:
        """Wait for its end, for so long at most."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.code

    def kill(self) -> None:
        """End every process of the session at once, and wait until none is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        deadline = time.monotonic() + 30
        while (left := self._members()) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def _members(self) -> list[int]:
        """The processes of the session that are alive."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, _, session = entry.read_text().rpartition(")")[2].split()[:4]
            except (OSError, ValueError):
                continue
            if int(session) == self.process.pid and state not in "ZX":
                found.append(int(entry.parent.name))
        return found

    def complaints(self) -> list[str]:
        """What is wrong with the last words of a run that failed: none where it ends with one clear line.

        Lines that are set in belong to it: the end of a program's log.
        """
        lines = [line for line in self.errors.read_text(encoding="utf-8", errors="replace").splitlines() if line]
        found = []
        if not any(_ERROR.match(line.rpartition("\r")[2]) for line in lines):
            found.append(f"no line that says 'error: ...', but: {lines[-1][:200] if lines else 'nothing'}")
        if any(line.rpartition("\r")[2].startswith("Traceback (most recent call last)") for line in lines):
            found.append("a traceback")
        if _TABLE in self.printed:
            found.append("a table of results")
        return found

    def message(self) -> str:
        """The line that says why it failed; else the last one."""
        lines = [
            line.rpartition("\r")[2]
            for line in self.errors.read_text(encoding="utf-8", errors="replace").splitlines()
            if line.strip()
        ]
        return next((line for line in lines if _ERROR.match(line)), lines[-1] if lines else "")[:300]

    def table(self) -> list[str]:
        """The table of word error rates."""
        lines = self.printed.splitlines()
        start = lines.index(_TABLE) if _TABLE in lines else len(lines)
        return [line.rstrip() for line in lines[start:] if line.strip() and not line.startswith(("Tables", "Report"))]

    def seconds_by_part(self) -> dict[str, float]:
        """How long each part took, from the times in the lines; the last one until now."""
        first: dict[str, datetime.datetime] = {}
        for stamp, stage, step in _STEP.findall(self.printed):
            first.setdefault(part_of(int(stage), step), datetime.datetime.fromisoformat(stamp))
        begins = [*first.items()]
        ends = [begin for _, begin in begins[1:]] + [datetime.datetime.now()]
        return {part: max(1.0, (end - begin).total_seconds()) for (part, begin), end in zip(begins, ends, strict=True)}


@dataclasses.dataclass(frozen=True)
class Reference:
    """What an undisturbed run gave.

    Args:
        table: Of word error rates.
        results: digests().
        seconds: How long each part took.
        counts: For each part and folder, the calls of each kind.
    """

    table: list[str]
    results: dict[str, str]
    seconds: dict[str, float]
    counts: dict[str, list[dict[str, int]]]
