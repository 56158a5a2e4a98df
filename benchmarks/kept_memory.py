#!/usr/bin/env python3
"""What it saves to keep freed memory instead of giving it back to the system.

    benchmarks/kept_memory.py --upstream exp/mini/ssl/upstream.pth [--objective ssl_soft_dtw] [--updates 5] [--rounds 3]

Joint updates of `mini` on padded noise, in processes that start with the C library's own thresholds or with those of
the recipe (`local.jobs.processes`), in turn. CPU time (user and system) and page faults are those of an update, medians
over rounds; the peak of a process's memory is what it held at most.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from joint_step import build, make_batch, make_step

from espnet_plugins.analysis.report.environment import describe_environment
from local.common.recipe import load_preset
from local.jobs.processes import KEEP_MEMORY

ALLOCATORS: Mapping[str, Mapping[str, str]] = {"by itself": {}, "kept": KEEP_MEMORY}


def measure_updates(args: argparse.Namespace) -> dict[str, float]:
    """CPU seconds and page faults of an update in this process, and its peak memory in MiB."""
    torch.set_num_threads(1)
    # As conf/train_joint.yaml has it.
    torch.backends.mkldnn.set_flags(False)
    upstream = {"model": "local", "checkpoint": str(args.upstream)}
    with tempfile.TemporaryDirectory() as folder:
        model = build(args.objective, upstream, Path(folder), preset=load_preset("mini")).train()
    step = make_step(model, make_batch([4, 4, 3, 3, 2], torch.device("cpu")), naive=False, autocast=False)
    for _ in range(3):
        step()
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(args.updates):
        step()
    after = resource.getrusage(resource.RUSAGE_SELF)
    names = {"user s": "ru_utime", "system s": "ru_stime", "page faults": "ru_minflt"}
    taken = {what: (getattr(after, name) - getattr(before, name)) / args.updates for what, name in names.items()}
    return {**taken, "peak MiB": after.ru_maxrss / 1024}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upstream", type=Path, required=True, help="what stage 2 of mini made")
    parser.add_argument("--objective", default="ssl_soft_dtw")
    parser.add_argument("--updates", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.upstream.is_file():
        parser.error(f"--upstream {args.upstream}: no such file; run.sh --stop_stage 2 makes it")
    if args.worker:
        print(json.dumps(measure_updates(args)))
        return
    for what, value in describe_environment(shlex.join(sys.argv), date=time.strftime("%F %T %Z")).items():
        print(f"{what}: {value}")
    print(f"load before: {os.getloadavg()[0]:.1f}")
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in ALLOCATORS}
    for _ in range(args.rounds):
        for name, chosen in ALLOCATORS.items():
            unset = {key: value for key, value in os.environ.items() if key not in KEEP_MEMORY}
            command = [sys.executable, __file__, *sys.argv[1:], "--worker"]
            found = subprocess.run(command, env={**unset, **chosen}, check=True, capture_output=True, text=True)
            taken[name].append(json.loads(found.stdout.splitlines()[-1]))
    columns = list(taken["kept"][0])
    print(f"| freed memory | {' | '.join(columns)} |\n|{'---|' * (1 + len(columns))}")
    for name, rounds in taken.items():
        cells = [statistics.median(one[column] for one in rounds) for column in columns]
        print(f"| {name} | {' | '.join(f'{cell:.3g}' if cell < 100 else f'{cell:.0f}' for cell in cells)} |")


if __name__ == "__main__":
    main()
