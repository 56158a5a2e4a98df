#!/usr/bin/env python3
"""What threads that wait for one another cost, on idle cores and beside busy ones.

    benchmarks/waiting_threads.py [--threads 2] [--busy 0 1 2] [--seconds 6] [--rounds 3]

Updates of ten small convolutions, as the recipe's front-ends and SSL models have them, in processes that differ in how
their OpenMP threads wait: as the library does by itself (they spin), or asleep (`OMP_WAIT_POLICY=passive`,
`GOMP_SPINCOUNT=0`). The processes take turns, so that a change of the machine's load meets all of them alike. Each line
gives the median and the fastest tenth of the updates in milliseconds; on cores that are not quite idle the fastest
tenth is what idle cores would give.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping

import torch
from busy import busy_cores

from espnet_plugins.analysis.report.environment import describe_environment

WAITING: Mapping[str, Mapping[str, str]] = {
    "by itself": {},
    "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
    "GOMP_SPINCOUNT=1000": {"GOMP_SPINCOUNT": "1000"},
    "GOMP_SPINCOUNT=10000": {"GOMP_SPINCOUNT": "10000"},
    "GOMP_SPINCOUNT=50000": {"GOMP_SPINCOUNT": "50000"},
}


def updates(seconds: float) -> list[float]:
    """Milliseconds of each update within some seconds."""
    torch.manual_seed(0)
    layers = [torch.nn.Conv1d(32, 32, 5, padding=2) for _ in range(10)]
    model = torch.nn.Sequential(*(part for layer in layers for part in (layer, torch.nn.GELU())))
    optimizer = torch.optim.Adam(model.parameters())
    batch = torch.randn(4, 32, 2000)
    taken: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(taken) < 3:
        start = time.perf_counter()
        optimizer.zero_grad()
        model(batch).square().mean().backward()
        optimizer.step()
        taken.append(1000 * (time.perf_counter() - start))
    return taken[1:]


def measure(waiting: Mapping[str, str], args: argparse.Namespace) -> list[float]:
    """The same in a process of its own, which reads the variables when it starts."""
    unset = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    environment = {**unset, "OMP_NUM_THREADS": str(args.threads), **waiting}
    command = [sys.executable, __file__, "--worker", "--seconds", str(args.seconds)]
    return json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2], help="processes that keep a core busy")
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(updates(args.seconds)))
        return
    for what, value in describe_environment(shlex.join(sys.argv), date=time.strftime("%F %T %Z")).items():
        print(f"{what}: {value}")
    print(f"load before: {os.getloadavg()[0]:.1f}; {args.threads} threads")
    print("| busy processes | threads wait | median ms | fastest tenth ms | updates |\n|---|---|---|---|---|")
    for busy in args.busy:
        taken: dict[str, list[float]] = {name: [] for name in WAITING}
        with busy_cores(busy):
            for _ in range(args.rounds):
                for name, waiting in WAITING.items():
                    taken[name] += measure(waiting, args)
        for name, times in taken.items():
            fast = sorted(times)[len(times) // 10]
            print(f"| {busy} | {name} | {statistics.median(times):.1f} | {fast:.1f} | {len(times)} |", flush=True)


if __name__ == "__main__":
    main()
