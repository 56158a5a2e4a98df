#!/usr/bin/env python3
"""What a part of a batch costs on a CPU, in frames of padding: two utterances together, padded, and each by itself.

    benchmarks/batch_parts.py [--features 64 128 256 512 768] [--frames 50 150 400] [--threads 2] [--rounds 12]

Blocks of Whisper's encoder with random weights, forward and backward, least CPU time (that of all threads) of the
rounds, in turn. What both alone take more than both together, over the time of a frame, is how much padding would cost
as much. Held against the rule in espnet_plugins/ssl/hidden.py.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time

import torch

from espnet_plugins.analysis.report.environment import describe_environment
from espnet_plugins.ssl import hidden
from espnet_plugins.ssl.whisper.catalogue import Dimensions
from espnet_plugins.ssl.whisper.encoder import Block

BLOCKS = 4


def work(blocks: torch.nn.ModuleList, batches: list[torch.Tensor]) -> float:
    """CPU seconds of forward and backward over batches (B, N, D)."""
    leaves = [batch.requires_grad_() for batch in batches]
    start = time.process_time()
    for frames in leaves:
        for block in blocks:
            frames = block(frames, None)
        frames.sum().backward()
    return time.process_time() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", nargs="+", type=int, default=[64, 128, 256, 512, 768])
    parser.add_argument("--frames", nargs="+", type=int, default=[50, 150, 400])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=12)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for what, value in describe_environment(shlex.join(sys.argv), date=time.strftime("%F %T %Z")).items():
        print(f"- {what}: `{value}`")
    print(
        "\n| features | frames | together, ms | each alone, ms | a part is worth frames | by the rule |\n"
        "|---|---|---|---|---|---|"
    )
    for width in args.features:
        sizes = Dimensions(mels=80, context=1500, width=width, heads=width // 64, layers=BLOCKS, inner=4 * width)
        blocks = torch.nn.ModuleList(Block(sizes) for _ in range(BLOCKS)).eval().requires_grad_(False)
        for count in args.frames:
            together, apart = [], []
            for _ in range(args.rounds):
                together.append(work(blocks, [torch.randn(2, count, width)]))
                apart.append(work(blocks, [torch.randn(1, count, width) for _ in range(2)]))
            one = min(together) / (2 * count)
            worth = (min(apart) - min(together)) / one
            rule = hidden._PART + hidden._PART_OF_FEATURES / width
            times = f"{1000 * min(together):.1f} | {1000 * min(apart):.1f}"
            print(f"| {width} | {count} | {times} | {worth:.0f} | {rule:.0f} |", flush=True)


if __name__ == "__main__":
    main()
