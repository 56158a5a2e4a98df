#!/usr/bin/env python3
"""What more GPUs bring to joint fine-tuning: measured step time, data and gradient size; predicted time per update.

    benchmarks/scaling.py --dump egs/voicebank_librimix/dump/mini/train [--preset full] [--device cuda --faster 1]

Measured here, on the model of a preset: the time of an update (forward, backward, clip, Adam) for batches of one, two
and three utterances, to which a + c x seconds of audio is fitted; the bytes of the gradient; the bytes of a dump per
second of audio. On a CPU the time is that of one thread on the processor, which other programs disturb little.
Assumed, and printed: how many times as fast a GPU computes, the bandwidths and latencies below, one GPU per rank, a
batch shared evenly, a ring all-reduce that nothing overlaps, reading that runs beside the computation.

  compute(n)    = (a + c x batch / n) / faster
  all-reduce(n) = 2 (n - 1) / n x gradient / bandwidth + 2 (n - 1) x latency
  reading(n)    = bytes of the batch / bandwidth of the shared disk
  update(n)     = max(compute(n) + all-reduce(n), reading(n))

Source of the all-reduce's cost: Thakur, Rabenseifner, Gropp, "Optimization of collective communication operations in
MPICH", 2005, section 4.5.
"""

from __future__ import annotations

import argparse
import itertools
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joint_step import SAMPLE_RATE, build, make_batch, make_step

from espnet_plugins.analysis.report.environment import describe_environment
from local.common.recipe import load_preset

UTTERANCES = (1, 2, 3)
GPUS = (1, 8, 64)


def measure_step(args: argparse.Namespace, preset: Mapping[str, Any], folder: Path) -> tuple[float, float, int]:
    """Time updates; give the fixed seconds, the seconds per second of audio, the bytes of the gradient."""
    device = torch.device(args.device)
    upstream = {"model": preset["ssl"]["model"], "pretrained": False}
    torch.manual_seed(0)
    model = build(args.objective, upstream, folder, preset=preset).to(device).train()
    steps = {
        count: make_step(model, make_batch([args.seconds] * count, device), naive=False, autocast=False)
        for count in UTTERANCES
    }
    times: dict[int, list[float]] = {count: [] for count in UTTERANCES}
    for turn in range(args.rounds + 1):
        for count, step in steps.items():
            taken = timed(step, device)
            if turn > 0:
                times[count].append(taken)
    audio = [args.seconds * count for count in UTTERANCES]
    medians = [statistics.median(times[count]) for count in UTTERANCES]
    slope, fixed = np.polyfit(audio, medians, 1)
    fixed = max(float(fixed), 0.0)
    for seconds, count, median in zip(audio, UTTERANCES, medians, strict=True):
        least, most = min(times[count]), max(times[count])
        spread = f"{least:.3f} to {most:.3f}; fit {fixed + slope * seconds:.3f}"
        print(f"  {seconds:5.1f} s of audio: {median:8.3f} s ({spread})")
    gradient = sum(4 * parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return fixed, float(slope), gradient


def timed(step, device: torch.device) -> float:
    """Seconds of a call: elapsed on a GPU, of the processor on a CPU."""
    if device.type == "cpu":
        start = time.process_time()
        step()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def bytes_per_second(dump: Path) -> float:
    """Bytes of noisy and clean FLAC per second of audio in a dumped set."""
    samples = sum(int(line.split()[1]) for line in (dump / "utt2num_samples").read_text().splitlines())
    archives = set()
    for name in ("wav.scp", "spk1.scp"):
        archives |= {line.split(maxsplit=1)[1].rsplit(":", 1)[0] for line in (dump / name).read_text().splitlines()}
    return sum(Path(archive).stat().st_size for archive in archives) / (samples / SAMPLE_RATE)


def all_reduce(ranks: int, gradient: int, args: argparse.Namespace) -> float:
    """Seconds of a ring all-reduce; the slowest link sets the pace."""
    bandwidth = args.node_link if ranks <= args.gpus_per_node else args.network
    return 2 * (ranks - 1) / ranks * gradient / bandwidth + 2 * (ranks - 1) * args.latency


def table(fixed: float, slope: float, gradient: int, rate: float, args: argparse.Namespace) -> list[str]:
    """The predictions, a row for each speed of the computation, batch and number of GPUs."""
    lines = [
        "| GPU, times this | batch | GPUs | compute | all-reduce | reading | update | speed-up | efficiency | epoch |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|---|")
    for faster, batch in itertools.product(args.faster, args.batch_seconds):
        alone = None
        for count in GPUS:
            if batch / args.utterance < count:
                lines.append(f"| {faster:g} | {batch:g} s | {count} | fewer utterances than ranks | | | | | | |")
                continue
            compute = (fixed + slope * batch / count) / faster
            reduce, reading = all_reduce(count, gradient, args), batch * rate / args.disk
            update = max(compute + reduce, reading)
            alone = alone or update
            hours = update * args.hours / batch
            times = " | ".join(f"{1e3 * value:.1f} ms" for value in (compute, reduce, reading, update))
            gain = f"{alone / update:.1f} | {100 * alone / update / count:.0f} %"
            lines.append(f"| {faster:g} | {batch:g} s | {count} | {times} | {gain} | {60 * hours:.1f} min |")
    return lines


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dump", type=Path, required=True, help="a dumped training set")
    parser.add_argument("--preset", default="full", help="whose model and batch")
    parser.add_argument("--objective", default="ssl_soft_dtw")
    parser.add_argument("--seconds", type=float, default=2.0, help="of an utterance that is measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--faster", type=float, nargs="+", default=[100.0, 1000.0], help="a GPU, times what is measured"
    )
    parser.add_argument(
        "--batch_seconds", type=float, nargs="+", help="of a global batch [the preset's, and 16 times it]"
    )
    parser.add_argument("--hours", type=float, default=66.0, help="of training audio: LibriMix train-100 and VoiceBank")
    parser.add_argument("--utterance", type=float, default=9.5, help="mean seconds of an utterance of these")
    parser.add_argument("--gpus_per_node", type=int, default=8)
    parser.add_argument("--node_link", type=float, default=150e9, help="bytes/s between GPUs of a node")
    parser.add_argument("--network", type=float, default=25e9, help="bytes/s between nodes (200 Gbit/s)")
    parser.add_argument("--latency", type=float, default=5e-6, help="seconds of a message")
    parser.add_argument("--disk", type=float, default=1e9, help="bytes/s of the shared file system, all nodes together")
    args = parser.parse_args()
    preset = load_preset(args.preset)
    if args.batch_seconds is None:
        batch = preset["config"]["train_joint"]["batch_bins"] / SAMPLE_RATE
        args.batch_seconds = [batch, 16 * batch]
    if args.device == "cpu":
        torch.set_num_threads(1)
    environment = describe_environment(shlex.join(sys.argv), date=time.strftime("%F %T %Z"))
    for key in ("date", "command", "git commit", "machine", "torch"):
        print(f"{key}: {environment[key]}")
    model = f"{args.objective} over {preset['ssl']['model']}, preset {args.preset}"
    print(f"measured: {model}, on {args.device}, utterances of {args.seconds:g} s")
    rate = bytes_per_second(args.dump)
    with tempfile.TemporaryDirectory() as folder:
        fixed, slope, gradient = measure_step(args, preset, Path(folder))
    volume = rate * args.hours * 3600
    print(f"  update: {fixed:.3f} s + {slope:.3f} s per second of audio")
    print(f"  gradient: {gradient / 1e6:.2f} MB")
    print(f"  dump: {rate / 1e3:.1f} kB per second of audio, noisy and clean; {args.hours:g} h: {volume / 1e9:.1f} GB")
    print(f"assumed: a GPU is {' or '.join(f'{faster:g}' for faster in args.faster)} times as fast;")
    print(
        f"  {args.node_link / 1e9:g} GB/s in a node of {args.gpus_per_node}, {args.network / 1e9:g} GB/s between nodes;"
    )
    print(f"  {1e6 * args.latency:g} us a message; {args.disk / 1e9:g} GB/s of shared disk, all nodes together")
    print("", *table(fixed, slope, gradient, rate, args), sep="\n")


if __name__ == "__main__":
    main()
