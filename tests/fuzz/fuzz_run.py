"""Read broken input for as long as one likes: python -m fuzz_run TARGET --minutes N [--found FOLDER] (tools/fuzz.sh).

A child process reads case by case, with no more memory than it may have. What must hold of each case: it is read, or
refused by an error of the project that names a file of it; within a time limit; nothing is written beside the folder
that it may write into. What does not hold is printed once for each place in the code, with the smallest case for it.
"""

from __future__ import annotations

import argparse
import dataclasses
import faulthandler
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Collection
from pathlib import Path

from fuzz_mutations import Tree
from fuzz_targets import TARGETS, NamelessError, Target, names_something
from hypothesis import HealthCheck, Phase, given, seed, settings

from local.jobs.processes import _die_with_parent

# Seconds of a core for one case; memory beside what the process has when it begins.
LIMIT_S = 10
MEMORY = 2 * 2**30
_BATCH = 50
# Batches between two lines that tell how far it is.
_TELL = 20


class Finding(AssertionError):
    """A case for which something does not hold; `place` tells findings apart."""

    def __init__(self, place: str, story: str):
        super().__init__(f"{place}\n{story}")
        self.place, self.story = place, story


class _TooLong(BaseException):
    pass


def limit_memory() -> None:
    """Let this process have MEMORY more than it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _write(folder: Path, tree: Tree) -> None:
    for name, content in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(content)


def _everything(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*")}


def _place(error: BaseException) -> str:
    """What was raised and the last line of the project that was passed on the way."""
    frames = [
        f
        for f in traceback.extract_tb(error.__traceback__)
        if "/espnet_plugins/" in f.filename or "/local/" in f.filename
    ]
    last = frames[-1] if frames else None
    return (
        f"{type(error).__name__} at {Path(last.filename).name}, {last.name}: {last.line}"
        if last
        else type(error).__name__
    )


def check_case(target: Target, tree: Tree, root: Path) -> str:
    """Read a case.

    Args:
        target: What reads it.
        tree: The case.
        root: An empty folder; the case is written three folders below, and what is read may write beside it in `out`.

    Returns:
        "read" or "refused".

    Raises:
        Finding: For what does not hold.
    """
    inside = root / "a" / "b"
    case, out = inside / "in", inside / "out"
    shutil.rmtree(root, ignore_errors=True)
    case.mkdir(parents=True)
    try:
        _write(case, tree)
    except (OSError, ValueError):
        return "refused"  # no file system holds it
    before = _everything(root)

    def too_long(*_):
        raise _TooLong

    old = signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
    outcome = "read"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", module=r"(espnet_plugins|local)\b")
            target.read(case, out)
    except NamelessError as nameless:
        raise Finding(f"names no file: {_place(nameless)}", str(nameless)) from nameless
    except target.errors as error:
        outcome = "refused"
        if not names_something(error, case, target.names):
            raise Finding(f"names no file: {_place(error)}", str(error)) from error
    except _TooLong as error:
        raise Finding(f"takes more than {LIMIT_S} s: {_place(error)}", "") from None
    except Exception as error:
        raise Finding(_place(error), "".join(traceback.format_exception(error))) from error
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, old)
    beside = {name for name in _everything(root) - before if name != "a/b/out" and not name.startswith("a/b/out/")}
    if beside:
        raise Finding("writes beside its folder", ", ".join(sorted(beside)))
    return outcome


@dataclasses.dataclass
class Counts:
    """How many cases were read, refused, and passed over since what they show is known."""

    read: int = 0
    refused: int = 0
    known: int = 0

    @property
    def cases(self) -> int:
        """All of them."""
        return self.read + self.refused + self.known


def try_cases(
    target: Target, root: Path, *, number: int, count: int, counts: Counts, known: Collection[str] = ()
) -> None:
    """Draw cases and read them.

    Args:
        target: What reads them.
        root: A folder to work in.
        number: Of the draw; the same number draws the same cases.
        count: How many.
        counts: Gets what came of them.
        known: Places of findings to pass over.

    Raises:
        Finding: The first new one, on the smallest case for it.
    """

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(target.cases())
    def one(tree: Tree) -> None:
        outcome = "known"
        try:
            outcome = check_case(target, tree, root)
        except Finding as finding:
            if finding.place not in known:
                raise
        setattr(counts, outcome, getattr(counts, outcome) + 1)

    one()


def _limit_time() -> None:
    """End this process, with a traceback, where a batch hangs inside a library that answers no signal.

    By the time of a core that it takes: on a busy machine a batch may wait for long. One that waits for something else
    has an hour.
    """
    faulthandler.register(signal.SIGXCPU, chain=True)
    most = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time() + 60 * LIMIT_S) + 1, most))
    faulthandler.dump_traceback_later(3600, exit=True)


def _tell(target: Target, counts: Counts, findings: int, start: float) -> None:
    minutes = (time.monotonic() - start) / 60
    print(
        f"{target.name}: {counts.cases} cases in {minutes:.1f} minutes ({time.process_time() / 60:.1f} of a core): "
        f"{counts.read} read, {counts.refused} refused; {findings} findings",
        flush=True,
    )


def _work(target: Target, minutes: float, found: Path | None, first: int) -> None:
    faulthandler.enable()
    root = Path(tempfile.mkdtemp(prefix=f"fuzz_{target.name}_"))
    counts, known = Counts(), set()
    try:
        target.warm_up()
        limit_memory()
        start, number = time.monotonic(), first
        while time.monotonic() - start < 60 * minutes:
            _limit_time()
            try:
                try_cases(target, root, number=number, count=_BATCH, counts=counts, known=known)
            except Finding as finding:
                known.add(finding.place)
                print(f"FOUND {target.name}: {finding}\n", flush=True)
                if found is not None:
                    shutil.copytree(root / "a" / "b" / "in", found / f"{target.name}_{number}", dirs_exist_ok=True)
            number += 1
            # Told all the while: whoever ends it knows how far it came.
            if (number - first) % _TELL == 0:
                _tell(target, counts, len(known), start)
        _tell(target, counts, len(known), start)
        sys.exit(bool(known))
    finally:
        shutil.rmtree(root, ignore_errors=True)


def main() -> None:
    """Read broken input of one kind in a child process, and say how it ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0, help="of the first draw")
    parser.add_argument("--found", type=Path, help="a folder for the cases behind findings")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        _work(TARGETS[args.target], args.minutes, args.found, args.seed)
    command = [sys.executable, "-m", "fuzz_run", *sys.argv[1:], "--child"]
    code = subprocess.run(command, preexec_fn=_die_with_parent).returncode
    if code not in (0, 1):
        print(f"FOUND {args.target}: the process ended with code {code}", flush=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
