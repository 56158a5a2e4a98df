#!/usr/bin/env python3
"""What more GPUs bring to joint fine-tuning: measured step time, data and gradient size; predicted time per update.

    benchmarks/scaling.py --dump egs/voicebank_librimix/dump/mini/train [--device cuda] [--batch_seconds 64 512]

Measured here: the time of an update (forward, backward, clip, Adam) for batches of one, two and four utterances, to
which a + c x seconds of audio is fitted; the bytes of the gradient; the bytes of the dump per second of audio.
Assumed, and printed: the bandwidths and latencies below, one GPU per rank, a batch shared evenly, a ring all-reduce
that nothing overlaps, reading that runs beside the computation.

  compute(n)    = a + c x batch / n
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
from pathlib import Path

import numpy as np
import torch
from joint_step import RATE, build, make_batch, make_step

from espnet_plugins.analysis.environment import describe_environment

UTTERANCES = (1, 2, 4)
GPUS = (1, 8, 64)


def measure_step(args: argparse.Namespace, folder: Path) -> tuple[float, float, int]:
    """Time updates; give the fixed seconds, the seconds per second of audio, the bytes of the gradient."""
    device = torch.device(args.device)
    model = build(args.objective, {"model": args.upstream, "pretrained": False}, folder).to(device).train()
    times: dict[int, list[float]] = {count: [] for count in UTTERANCES}
    for turn in range(args.rounds + 1):
        for count in UTTERANCES:
            step = make_step(model, make_batch([args.seconds] * count, device), naive=False, autocast=False)
            start = time.perf_counter()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn > 0:
                times[count].append(time.perf_counter() - start)
    audio = [args.seconds * count for count in UTTERANCES]
    medians = [statistics.median(times[count]) for count in UTTERANCES]
    slope, fixed = np.polyfit(audio, medians, 1)
    for seconds, median in zip(audio, medians, strict=True):
        print(f"  {seconds:5.1f} s of audio: {1e3 * median:8.1f} ms (fit {1e3 * (fixed + slope * seconds):.1f})")
    gradient = sum(4 * parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return max(float(fixed), 0.0), float(slope), gradient


def bytes_per_second(dump: Path) -> float:
    """Bytes of noisy and clean FLAC per second of audio in a dumped set."""
    samples = sum(int(line.split()[1]) for line in (dump / "utt2num_samples").read_text().splitlines())
    archives = set()
    for name in ("wav.scp", "spk1.scp"):
        archives |= {line.split(maxsplit=1)[1].rsplit(":", 1)[0] for line in (dump / name).read_text().splitlines()}
    return sum(Path(archive).stat().st_size for archive in archives) / (samples / RATE)


def all_reduce(ranks: int, gradient: int, args: argparse.Namespace) -> float:
    """Seconds of a ring all-reduce; the slowest link sets the pace."""
    bandwidth = args.node_link if ranks <= args.gpus_per_node else args.network
    return 2 * (ranks - 1) / ranks * gradient / bandwidth + 2 * (ranks - 1) * args.latency


def table(fixed: float, slope: float, gradient: int, rate: float, args: argparse.Namespace) -> list[str]:
    """The predictions, a row for each speed of the computation, batch and number of GPUs."""
    lines = ["| compute x | batch | GPUs | compute | all-reduce | reading | update | speed-up | efficiency | epoch |"]
    lines.append("|---|---|---|---|---|---|---|---|---|---|")
    for faster, batch in itertools.product(args.faster, args.batch_seconds):
        alone = None
        for count in GPUS:
            compute = (fixed + slope * batch / count) / faster
            reduce, reading = all_reduce(count, gradient, args), batch * rate / args.disk
            update = max(compute + reduce, reading)
            alone = alone or update
            hours = update * args.hours / batch
            times = " | ".join(f"{1e3 * value:.2f} ms" for value in (compute, reduce, reading, update))
            gain = f"{alone / update:.1f} | {100 * alone / update / count:.0f} %"
            lines.append(f"| {faster:g} | {batch:g} s | {count} | {times} | {gain} | {hours:.2f} h |")
    return lines


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dump", type=Path, required=True, help="a dumped training set")
    parser.add_argument("--objective", default="ssl_soft_dtw")
    parser.add_argument("--upstream", default="hubert_base", help="real configuration, random weights")
    parser.add_argument("--seconds", type=float, default=4.0, help="of an utterance")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch_seconds", type=float, nargs="+", default=[64.0, 512.0], help="of a global batch")
    parser.add_argument("--hours", type=float, default=66.0, help="of training audio: LibriMix train-100 and VoiceBank")
    parser.add_argument("--gpus_per_node", type=int, default=8)
    parser.add_argument("--node_link", type=float, default=150e9, help="bytes/s between GPUs of a node")
    parser.add_argument("--network", type=float, default=25e9, help="bytes/s between nodes (200 Gbit/s)")
    parser.add_argument("--faster", type=float, nargs="+", default=[1.0], help="computation so many times as fast")
    parser.add_argument("--latency", type=float, default=5e-6, help="seconds of a message")
    parser.add_argument("--disk", type=float, default=1e9, help="bytes/s of the shared file system, all nodes together")
    args = parser.parse_args()
    print(describe_environment(shlex.join(sys.argv), date=time.strftime("%F %T %Z")))
    print(f"measured: {args.objective} over {args.upstream} on {args.device}, utterances of {args.seconds:g} s")
    with tempfile.TemporaryDirectory() as folder:
        fixed, slope, gradient = measure_step(args, Path(folder))
    rate = bytes_per_second(args.dump)
    print(f"  update: {1e3 * fixed:.1f} ms + {1e3 * slope:.1f} ms per second of audio")
    print(f"  gradient: {gradient / 1e6:.2f} MB")
    volume = rate * args.hours * 3600
    print(f"  dump: {rate / 1e3:.1f} kB per second of audio, noisy and clean; {args.hours:g} h: {volume / 1e9:.1f} GB")
    print(
        f"assumed: {args.node_link / 1e9:g} GB/s in a node of {args.gpus_per_node}, {args.network / 1e9:g} GB/s between"
    )
    print(f"  between nodes, {1e6 * args.latency:g} us a message, {args.disk / 1e9:g} GB/s of shared disk")
    print("", *table(fixed, slope, gradient, rate, args), sep="\n")


if __name__ == "__main__":
    main()
