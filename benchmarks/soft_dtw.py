#!/usr/bin/env python3
"""Soft-DTW from features to gradient: this package, pysdtw, tslearn, ddtw and the products alone, in one run.

Each round times every system once, in turn, so that what else the machine does meets all of them; a system that
has used up --seconds at a shape drops out of later rounds. The first call of each at a shape warms up and does not
count. Ratios are those of the least times; medians stand beside them.

floor      the full products alone: x y^T, (N, D) by (D, M), for the costs, and E y, (N, M) by (M, D), for the
           gradient to x (with --gradients both, E^T x too). torch.bmm for a full batch, torch.mm at each pair's own
           lengths for a mixed one. This package leaves out what is zero in E, which is most of it while --gamma is
           small and little when it is large (try 100).
recursion  soft-DTW of given cost matrices, forward and backward, in wall-clock nanoseconds for each cell within
           the lengths.
mixed      a batch of mixed lengths against the same pairs, each in a full batch of copies of it: the sum of the times
           over the number of copies.
memory     resident memory at the worst moment of one call, above what was held before (features and libraries),
           less the gradients it returns, in floats for each cell of the padded (B, N, M) cost.
earlier    this package as it was at --against COMMIT, in the same process and turns.
second     this package with --second_gamma.

x needs a gradient, y needs none (--gradients both: both). "mixed" shapes hold lengths from a fifth of N to N: pysdtw
gets packed sequences, ddtw the lengths, tslearn, which knows none, pair by pair. Every value is compared with this
package's, of ddtw, which returns their mean alone, the sum.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from earlier_soft_dtw import load_earlier
from peak_memory import peak_memory
from soft_dtw_systems import Problem, make_ours, make_problem, make_recursion, make_systems, make_uniform

from espnet_plugins.analysis.comparison.tables import Table
from espnet_plugins.analysis.report.environment import describe_environment
from espnet_plugins.atomic import write_text

FULL, MIXED = "8x750x768", "8x750x768:mixed"
SHAPES = {
    "cpu": ["8x300x768", FULL, "4x1500x768", "32x250x256", "1x3000x768", MIXED],
    "cuda": ["32x512x64", "8x300x768", FULL, "4x1500x768", "32x250x256", "1x3000x768", MIXED],
}
OURS, EARLIER, SECOND, FLOOR, RECURSION = "this package", "earlier", "second gamma", "floor", "recursion"
UNIFORM = "uniform"
PEERS = ("pysdtw", "tslearn", "ddtw")


# What is compared: of least times and of medians.
_RATIOS = {
    EARLIER: ("this to earlier", "by medians"),
    SECOND: ("second gamma to first", "by medians"),
}


def measure(problem: Problem, args: argparse.Namespace) -> dict:
    """Times, memory and values of every system at one shape."""
    systems, missing = make_systems(problem, leave_out=args.leave_out)
    if args.earlier is not None:
        systems[EARLIER] = make_ours(problem, args.earlier.soft_dtw)
    agreement = {}
    expected = systems[OURS]()
    for name, step in systems.items():
        values = step()
        if values is not None:
            right = expected if values.ndim else expected.sum()
            agreement[name] = ((values - right).abs() / right.abs().clamp(min=1.0)).max().item()
    if args.second_gamma:
        systems[SECOND] = make_ours(replace(problem, gamma=args.second_gamma))
        systems[SECOND]()
    steps = {**systems, RECURSION: make_recursion(problem)}
    if problem.lengths:
        steps |= {f"{UNIFORM} {pair}": step for pair, step in enumerate(make_uniform(problem))}
    for name in steps.keys() - systems.keys():
        steps[name]()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(args.rounds):
        names = list(steps)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            if sum(seconds[name]) < args.seconds:
                seconds[name].append(_timed(steps[name], problem.x.device))
    del steps
    memory = {name: _extra_memory(step, problem) for name, step in systems.items() if name != FLOOR}
    return {
        "shape": problem.name,
        "cells": problem.cells,
        "padded_cells": problem.padded_cells,
        "seconds": seconds,
        "extra_bytes": memory,
        "difference_of_values": agreement,
        "missing": missing,
    }


def _timed(step, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _extra_memory(step, problem: Problem) -> int | None:
    peak = peak_memory(step, problem.x.device)
    gradients = sum(4 * side.numel() for side in (problem.x, problem.y) if side.requires_grad)
    return None if peak is None else max(0, peak - gradients)


def table(rows: list[dict]) -> Table:
    """What a reader compares: milliseconds, least and median, and ratios of the least."""
    header = ["B x N x D", "this package, ms", "floor, ms", "to floor"]
    header += [text for peer in PEERS for text in (f"{peer}, ms", f"{peer} to this")]
    header += ["recursion, ns a cell", *(f"memory, {name}" for name in (OURS, *PEERS))]
    lines = []
    beside = [name for name in (EARLIER, SECOND) if any(name in row["seconds"] for row in rows)]
    header[2:2] = [text for name in beside for text in (f"{name}, ms", *_RATIOS[name])]
    for row in rows:
        least = {name: min(taken) for name, taken in row["seconds"].items()}
        sizes, _, kind = row["shape"].partition(":")
        cells = [" x ".join(sizes.split("x")) + (f", {kind}" if kind else "")]
        cells += [_milliseconds(row, OURS)]
        for name in beside:
            above, below = (OURS, EARLIER) if name == EARLIER else (SECOND, OURS)
            medians = [statistics.median(row["seconds"][side]) for side in (above, below)]
            cells += [_milliseconds(row, name), f"{least[above] / least[below]:.2f}"]
            cells += [f"{medians[0] / medians[1]:.2f}"]
        cells += [_milliseconds(row, FLOOR), f"{least[OURS] / least[FLOOR]:.2f}"]
        for peer in PEERS:
            ratio = f"{least[peer] / least[OURS]:.1f} x" if peer in least else "-"
            cells += [_milliseconds(row, peer), ratio]
        cells += [f"{1e9 * least[RECURSION] / row['cells']:.2f}"]
        for name in (OURS, *PEERS):
            extra = row["extra_bytes"].get(name)
            cells += ["-" if extra is None else f"{extra / 4 / row['padded_cells']:.1f}"]
        lines.append(cells)
    return Table(header, lines)


def _milliseconds(row: dict, name: str) -> str:
    taken = row["seconds"].get(name)
    return f"{1e3 * min(taken):.1f} ({1e3 * statistics.median(taken):.1f})" if taken else "-"


def remarks(rows: list[dict]) -> list[str]:
    """What is missing and why, values that differ, and what mixed lengths cost."""
    lines = [f"{name} at {row['shape']}: {why}" for row in rows for name, why in row["missing"].items()]
    for row in rows:
        for name, difference in row["difference_of_values"].items():
            if not difference < 1e-3:
                lines.append(f"{name} at {row['shape']}: a value differs by {difference:.2g}, relative")
    for row in rows:
        uniform = [min(taken) for name, taken in row["seconds"].items() if name.startswith(UNIFORM)]
        if uniform:
            mixed, alone = min(row["seconds"][OURS]), sum(uniform) / len(uniform)
            ns = " and ".join(f"{1e9 * taken / row['cells']:.1f}" for taken in (mixed, alone))
            lines.append(
                f"{row['shape']}: mixed / the same pairs, each length in a full batch of its own: {mixed / alone:.2f}; "
                f"{ns} ns for each cell within the lengths"
            )
    return lines


def _versions(names: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _busy_ticks() -> tuple[int, int]:
    """Clock ticks that all programs used, and all there were, on all cores since the machine started."""
    try:
        ticks = [int(word) for word in Path("/proc/stat").read_text(encoding="ascii").split("\n")[0].split()[1:9]]
    except OSError:
        return 0, 0
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", metavar="BxNxD[:mixed]", help="default: the grid of the README")
    parser.add_argument("--rounds", type=int, default=11, help="calls of each system (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="time for each system at a shape (default: %(default)s)"
    )
    parser.add_argument("--gamma", type=float, default=0.1, help="smoothing (default: %(default)s)")
    parser.add_argument("--second_gamma", type=float, help="measure this package with it, too")
    parser.add_argument("--gradients", choices=("x", "both"), default="x", help="who needs one (default: %(default)s)")
    parser.add_argument("--against", metavar="COMMIT", help="measure this package at an earlier commit, too")
    parser.add_argument("--leave_out", nargs="+", default=[], choices=PEERS, help="peers that are not measured")
    parser.add_argument("--threads", type=int, help="threads of torch (default: one for each core)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write soft_dtw.json and soft_dtw.md there")
    args = parser.parse_args()
    if min(args.rounds, args.seconds, args.gamma) <= 0:
        parser.error("--rounds, --seconds and --gamma must be above 0")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("no GPU here that torch can use; take --device cpu")
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    kept = tempfile.TemporaryDirectory()
    try:
        args.earlier = load_earlier(args.against, Path(kept.name)) if args.against else None
    except ValueError as error:
        parser.error(str(error))
    everything = describe_environment(shlex.join(sys.argv), date=time.strftime("%F %T %Z"))
    environment = {key: everything[key] for key in ("date", "command", "git commit", "machine", "python", "torch")}
    environment.update(_versions(("numba", "triton", *PEERS)), threads=str(torch.get_num_threads()))
    before, own = _busy_ticks(), time.process_time()
    rows = []
    shapes = args.shapes or SHAPES[args.device]
    for k, name in enumerate(shapes):
        print(f"[{k + 1}/{len(shapes)}] {name}", file=sys.stderr, flush=True)
        try:
            problem = make_problem(name, gamma=args.gamma, both=args.gradients == "both", device=device)
        except ValueError as error:
            parser.error(str(error))
        rows.append(measure(problem, args))
    after, own = _busy_ticks(), time.process_time() - own
    if after[1] > before[1]:
        others = (after[0] - before[0]) / os.sysconf("SC_CLK_TCK") - own
        share = others / ((after[1] - before[1]) / os.sysconf("SC_CLK_TCK"))
        environment["other programs used"] = f"{max(0.0, 100 * share):.0f} % of the cores meanwhile"
    result, notes = table(rows), remarks(rows)
    print("Milliseconds from features to gradient: least (median)\n" + result.plain())
    print("\n".join(notes))
    described = [f"{key}: {value}" for key, value in environment.items()]
    print("\n".join(described))
    if args.out:
        content = {
            "environment": environment,
            "options": {key: value for key, value in vars(args).items() if key not in ("out", "earlier")},
            "rows": rows,
        }
        write_text(args.out / "soft_dtw.json", json.dumps(content, indent=1) + "\n")
        lists = ["\n".join(f"- {text}" for text in texts) for texts in (notes, described)]
        write_text(args.out / "soft_dtw.md", "\n\n".join([result.markdown(), *filter(None, lists)]) + "\n")


if __name__ == "__main__":
    main()
