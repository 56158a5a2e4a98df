#!/usr/bin/env python3
"""The recipe now and at an earlier commit, in turn on the same machine: seconds of each stage and both tables.

    benchmarks/against_commit.py [--commit b88d50f] [--preset mini] [--objectives LIST] [--nj 2] [--rounds 1]
                                 [--busy 0] [--folder DIR] [--out FILE]

The earlier commit is checked out into a worktree below --folder, which holds all that the runs make, too. Each run
makes everything from nothing, stage by stage; --preset smoke is the quick form. CPU seconds (user and system) are those
of all processes of a stage, and the honest figure where other programs are at work. --busy keeps that many cores busy
meanwhile, at normal priority. Interrupted, the same command goes on: with the stages that are left, and from nothing
where one was interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from busy import busy_cores

from espnet_plugins.analysis.report.environment import describe_environment
from espnet_plugins.atomic import write_text

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "egs" / "voicebank_librimix"
STAGES = {
    1: "corpora",
    2: "data, SSL model",
    3: "front-end",
    4: "recognizer",
    5: "fine-tuning",
    6: "decoding",
    7: "scoring",
    8: "report",
}
NOW = "now"
# In the record: the round and run of which a stage was begun and not ended.
BEGUN = "begun"


def checkout(commit: str, folder: Path) -> Path:
    """A worktree of a commit, below a folder.

    Args:
        commit: Any name of it.
        folder: Where.

    Returns:
        The worktree, of that commit also where there was one of another.
    """
    tree = folder / "tree"
    if not (tree / ".git").exists():
        subprocess.run(["git", "-C", ROOT, "worktree", "prune"], check=True)
        subprocess.run(["git", "-C", ROOT, "worktree", "add", "--quiet", "--detach", tree, commit], check=True)
    subprocess.run(["git", "-C", tree, "checkout", "--quiet", "--detach", commit], check=True)
    return tree


def run_stage(tree: Path, stage: int, folder: Path, options: Sequence[str]) -> dict[str, float]:
    """One stage of a run in a process of its own.

    Args:
        tree: The repository.
        stage: Its number.
        folder: What the run makes, and its log.
        options: Of run.sh.

    Returns:
        `wall` and `cpu` seconds.

    Raises:
        SystemExit: When the stage fails, with the log's name.
    """
    names = ("downloads", "datadir", "dumpdir", "expdir")
    places = [word for name in names for word in (f"--{name}", str(folder / name))]
    command = [
        tree / "egs/voicebank_librimix/run.sh",
        *options,
        *places,
        "--stage",
        str(stage),
        "--stop_stage",
        str(stage),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    log = folder / "run.log"
    folder.mkdir(parents=True, exist_ok=True)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with log.open("ab") as stream:
        code = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT
        ).returncode
    if code != 0:
        raise SystemExit(f"stage {stage} of {tree} failed with exit code {code}; see {log}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": time.monotonic() - start, "cpu": cpu}


def table(taken: Mapping[str, Mapping[int, Sequence[Mapping[str, float]]]], old: str) -> str:
    """Median seconds of each stage and their ratios, now to then, as Markdown.

    Args:
        taken: Which -> stage -> `wall` and `cpu` of each round.
        old: The name of the earlier commit in `taken`.

    Example:
        >>> seconds = {"abc": {1: [{"wall": 2, "cpu": 4}]}, "now": {1: [{"wall": 1, "cpu": 3}]}}
        >>> print(table(seconds, "abc").splitlines()[2])
        | 1 corpora | 2 | 1 | 0.50 | 4 | 3 | 0.75 |
    """
    lines = [f"| stage | {old}: wall s | now | ratio | {old}: CPU s | now | ratio |", "|---|---|---|---|---|---|---|"]
    sums = {(which, kind): 0.0 for which in (old, NOW) for kind in ("wall", "cpu")}
    for stage in taken[old]:
        row = [f"{stage} {STAGES[stage]}"]
        for kind in ("wall", "cpu"):
            pair = [statistics.median(one[kind] for one in taken[which][stage]) for which in (old, NOW)]
            for which, seconds in zip((old, NOW), pair, strict=True):
                sums[which, kind] += seconds
            row += _cells(pair)
        lines.append(f"| {' | '.join(row)} |")
    row = ["all"]
    for kind in ("wall", "cpu"):
        row += _cells([sums[which, kind] for which in (old, NOW)])
    return "\n".join([*lines, f"| {' | '.join(row)} |"])


def _cells(pair: Sequence[float]) -> list[str]:
    before, now = pair
    return [f"{before:.0f}", f"{now:.0f}", f"{now / before:.2f}" if before else "-"]


def word_errors(results: Path) -> str:
    """The table of word error rates in a run's RESULTS.md."""
    found = [part for part in results.read_text(encoding="utf-8").split("\n## ") if part.startswith("Word error rate")]
    return "\n".join(line for line in found[0].split("\n\n")[1].splitlines() if line.startswith("|")) if found else ""


def measure(args: argparse.Namespace) -> str:
    """Run both in turn, stage by stage; what is done already is kept in the folder."""
    trees = {args.commit: checkout(args.commit, args.folder), NOW: ROOT}
    options = ["--preset", args.preset, "--nj", str(args.nj)]
    options += ["--objectives", args.objectives] if args.objectives else []
    record = args.folder / "seconds.json"
    done = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    if begun := done.pop(BEGUN, None):
        number, which = begun
        shutil.rmtree(args.folder / f"{which}.{number}", ignore_errors=True)
        done = {key: seconds for key, seconds in done.items() if not key.startswith(f"{number}/{which}/")}
    taken: dict[str, dict[int, list[dict[str, float]]]] = {which: {stage: [] for stage in STAGES} for which in trees}
    with busy_cores(args.busy):
        for number in range(args.rounds):
            for stage in STAGES:
                # Who goes first changes.
                for which in sorted(trees, reverse=bool((number + stage) % 2)):
                    key, folder = f"{number}/{which}/{stage}", args.folder / f"{which}.{number}"
                    if key not in done:
                        print(
                            f"{time.strftime('%T')} round {number + 1}, stage {stage}, {which}",
                            file=sys.stderr,
                            flush=True,
                        )
                        write_text(record, json.dumps({**done, BEGUN: [number, which]}, indent=1))
                        done[key] = run_stage(trees[which], stage, folder, options)
                        write_text(record, json.dumps(done, indent=1))
                    taken[which][stage].append(done[key])
    tables = [f"{which}:\n\n{word_errors(args.folder / f'{which}.0' / 'expdir' / 'RESULTS.md')}" for which in trees]
    return "\n\n".join([table(taken, args.commit), *tables])


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commit", default="b88d50f", help="what to compare with")
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--objectives", default="", help="of stage 5; default: the preset's")
    parser.add_argument("--nj", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--busy", type=int, default=0, help="processes that keep a core busy")
    parser.add_argument("--folder", type=Path, default=RECIPE / "exp" / "against_commit")
    parser.add_argument("--out", type=Path, help="write the tables there, too")
    args = parser.parse_args()
    if args.preset.endswith((".yaml", ".yml")):
        args.preset = str(Path(args.preset).resolve())
    args.folder = args.folder.resolve()
    args.folder.mkdir(parents=True, exist_ok=True)
    lines = [
        f"- {what}: `{value}`"
        for what, value in describe_environment(shlex.join(sys.argv), date=time.strftime("%F %T %Z")).items()
    ]
    lines.append(f"- load before: {os.getloadavg()[0]:.1f}; processes that keep a core busy: {args.busy}")
    text = "\n".join([*lines, "", measure(args), ""])
    print(text)
    if args.out is not None:
        write_text(args.out, text)


if __name__ == "__main__":
    main()
