#!/usr/bin/env python3
"""A joint update now and at an earlier commit, in turn: time, memory, and whether losses and gradients agree.

    benchmarks/joint_step_against.py [--commit b88d50f] [--objectives si_snr ssl_mse ssl_soft_dtw] [--rounds 4]
                                     [--updates 2] [--seconds 12 8 4] [--threads 2]

Every round starts a process of each package, in changing order, as the recipe of that commit starts a training
(environment and threads). It builds the models of benchmarks/joint_step.py from one seed, takes one update of each to
warm up, keeps its loss and gradients, and measures --updates more. Ratios are those of the CPU time (that of both
threads) and elapsed time of a round; `OBJECTIVE, kept` has the references' frames kept (reference_cache), which the
earlier commit cannot, and is held against its `OBJECTIVE`. Memory is the peak during an update, beyond what was held.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from against_commit import NOW, ROOT, checkout
from joint_updates import KEPT

from espnet_plugins.analysis.report.environment import describe_environment

sys.path.insert(0, str(ROOT / "egs" / "voicebank_librimix"))

from local.jobs.processes import KEEP_MEMORY, environment

KEEPING = ("ssl_mse", "ssl_soft_dtw")


def start(tree: Path, names: list[str], args: argparse.Namespace, save: Path, *, now: bool) -> dict[str, Any]:
    """Measure a tree's package in a process of its own."""
    bare = {key: value for key, value in os.environ.items() if key not in {*KEEP_MEMORY, "GOMP_SPINCOUNT"}}
    begun_with = {**(environment(args.threads) if now else bare), "PYTHONPATH": str(tree)}
    options = ["--updates", str(args.updates), "--threads", str(args.threads), "--upstream", args.upstream]
    options += ["--seconds", *map(str, args.seconds), "--objectives", *names]
    command = [sys.executable, str(ROOT / "benchmarks" / "joint_updates.py"), str(tree), str(save), *options]
    subprocess.run(command, env=begun_with, check=True)
    return torch.load(save, weights_only=True)


def apart(found: dict[str, Any], other: dict[str, Any]) -> tuple[float, float]:
    """How far losses and gradients are apart: relative, in the norm of all gradients together."""
    first, second = found["gradients"], other["gradients"]
    assert first.keys() == second.keys(), first.keys() ^ second.keys()
    difference = torch.stack([(first[key] - second[key]).double().norm() for key in first]).norm()
    whole = torch.stack([value.double().norm() for value in second.values()]).norm()
    return abs(float(found["loss"] / other["loss"]) - 1), float(difference / whole)


def measure(args: argparse.Namespace) -> str:
    """Take turns; give the tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trees = {args.commit: checkout(args.commit, folder), NOW: ROOT}
        rounds: list[dict[str, dict[str, Any]]] = []
        try:
            for number in range(args.rounds):
                one = {}
                for which in sorted(trees, reverse=bool(number % 2)):
                    now = which == NOW
                    kept = [name + KEPT for name in args.objectives if name in KEEPING] if now else []
                    print(f"{time.strftime('%T')} round {number + 1}: {which}", file=sys.stderr, flush=True)
                    one[which] = start(trees[which], [*args.objectives, *kept], args, folder / "found.pt", now=now)
                rounds.append(one)
        finally:
            subprocess.run(
                ["git", "-C", str(ROOT), "worktree", "remove", "--force", str(trees[args.commit])], check=True
            )
    return tables(rounds, args.commit)


def tables(rounds: list[dict[str, dict[str, Any]]], old: str) -> str:
    """Time and memory, then agreement, as Markdown."""

    def medians(which: str, name: str, kind: int) -> list[float]:
        return [statistics.median(one[kind] for one in found[which][name]["taken"]) for found in rounds]

    lines = [
        f"| update | {old}: s | now | ratio | {old}: CPU s | now | ratio | {old}: peak MiB | now |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in rounds[0][NOW]:
        cells = [name]
        for kind in (0, 1, 2):
            before, now = medians(old, name.removesuffix(KEPT), kind), medians(NOW, name, kind)
            if kind == 2:
                cells += [f"{statistics.median(before) / 2**20:.0f}", f"{statistics.median(now) / 2**20:.0f}"]
                continue
            each = [b / a for a, b in zip(before, now, strict=True)]
            cells += [f"{statistics.median(before):.2f}", f"{statistics.median(now):.2f}"]
            cells.append(f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})")
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| update | loss, relative difference | gradient, relative difference |", "|---|---|---|"]
    for name in rounds[0][NOW]:
        loss, gradient = apart(rounds[0][NOW][name], rounds[0][old][name.removesuffix(KEPT)])
        lines.append(f"| {name} | {loss:.1e} | {gradient:.1e} |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commit", default="b88d50f", help="what to compare with")
    parser.add_argument("--objectives", nargs="+", default=["si_snr", "ssl_mse", "ssl_soft_dtw"])
    parser.add_argument("--seconds", nargs="+", type=float, default=[12.0, 8.0, 4.0], help="utterances of the batch")
    parser.add_argument("--rounds", type=int, default=4, help="processes of each package")
    parser.add_argument("--updates", type=int, default=2, help="measured in each process")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--upstream", default="hubert_base", help="a torchaudio bundle in lower case")
    args = parser.parse_args()
    for what, value in describe_environment(shlex.join(sys.argv), date=time.strftime("%F %T %Z")).items():
        print(f"- {what}: `{value}`")
    print(f"- load before: {os.getloadavg()[0]:.1f}\n\n{measure(args)}")


if __name__ == "__main__":
    main()
