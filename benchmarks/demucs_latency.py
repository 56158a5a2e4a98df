#!/usr/bin/env python3
"""Real-time factor and algorithmic latency of a causal Demucs as a stream.

    benchmarks/demucs_latency.py [--model DIR] [--hidden 64 --depth 5 --resample 4] [--seconds 4] [--rounds 3]

Without --model the network has random weights, which costs the same. For each size of a piece: seconds of CPU time
per second of audio, in one thread, median and range of the rounds; all sizes take turns within a round. The latency is
what must have come behind a sample before it is given back: what the network looks ahead, which a test measures by
gradients, and the rest of the piece. "whole" is the utterance in one pass.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import time

import torch

from espnet_plugins.analysis.comparison.tables import Table
from espnet_plugins.analysis.report.environment import describe_environment
from espnet_plugins.enh.demucs import Demucs
from espnet_plugins.enh.demucs_stream import DemucsStream

CHUNKS = (1, 4, 16, 64)


def load(args: argparse.Namespace) -> Demucs:
    """The network of a checkpoint folder, or one of the given size."""
    if args.model is None:
        return Demucs(hidden=args.hidden, depth=args.depth, resample=args.resample).eval()
    from espnet_plugins.inference import Enhancer

    return Enhancer.from_checkpoint(args.model).model.separator.demucs


def through(model: Demucs, waveform: torch.Tensor, chunk_frames: int | None) -> float:
    """Seconds of CPU time per second of audio."""
    start = time.process_time()
    if chunk_frames is None:
        with torch.inference_mode():
            model(waveform[None])
    else:
        stream = DemucsStream(model, std=0.1, chunk_frames=chunk_frames)
        for piece in waveform.split(model.hop_length):
            stream.feed(piece)
        stream.finish()
    return (time.process_time() - start) / (len(waveform) / model.sample_rate)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="checkpoint folder of a causal Demucs")
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--depth", type=int, default=5)
    parser.add_argument("--resample", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=4.0, help="of audio (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = load(args)
    waveform = 0.1 * torch.randn(round(args.seconds * model.sample_rate))
    measured: dict[int | None, list[float]] = {chunk: [] for chunk in (*CHUNKS, None)}
    for _ in range(args.rounds):
        for chunk, factors in measured.items():
            factors.append(through(model, waveform, chunk))
    rows = []
    for chunk, factors in measured.items():
        rate = f"{statistics.median(factors):.2f} ({min(factors):.2f} to {max(factors):.2f})"
        if chunk is None:
            rows.append(["whole", "the utterance", rate])
            continue
        latency = DemucsStream(model).algorithmic_latency + (chunk - 1) * model.hop_length
        rows.append(
            [
                f"{1000 * chunk * model.hop_length / model.sample_rate:.0f}",
                f"{1000 * latency / model.sample_rate:.1f}",
                rate,
            ]
        )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    facts = describe_environment(shlex.join(sys.argv), date=time.strftime("%F %T %Z"))
    print("\n".join(f"{name}: {value}" for name, value in facts.items()))
    print(
        f"\n{parameters / 1e6:.1f} million parameters, "
        f"hop {1000 * model.hop_length / model.sample_rate:.0f} ms, one thread\n"
    )
    print(Table(["piece (ms)", "latency (ms)", "real-time factor"], rows).plain())


if __name__ == "__main__":
    main()
