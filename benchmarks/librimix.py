#!/usr/bin/env python3
"""How fast mixtures are made, against a plain loop over the same rows, and how much memory that takes.

    benchmarks/librimix.py [--rows 120] [--seconds 12] [--nj 2]

Makes a corpus of noise with the layout of LibriSpeech and WHAM!, then mixes it (mix_single, max mode, 16 kHz)
by a plain single-process loop, by the recipe with one process and by the recipe with --nj processes, in turn,
and prints utterances per second, their ratios, and the peak memory for that many rows and for four times as
many.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "egs" / "voicebank_librimix"), str(ROOT / "tests" / "recipe")]

import soundfile  # noqa: E402
from librimix_oracle import Corpus, oracle, plain_sum  # noqa: E402

from local.librimix_generator import generate  # noqa: E402

_ROUNDS = 3


def plain_loop(corpus: Corpus, out: Path) -> None:
    """The oracle over all rows, writing what the recipe writes."""
    for name in ("s1", "noise", "mix_single"):
        (out / name).mkdir(parents=True)
    for sources, noise in corpus.rows:
        name = "_".join(Path(source).stem for source in sources)
        voices, background = oracle(corpus, sources, noise, corpus.gains[name], rate=16000, mode="max")
        signals = {"s1": voices[0], "noise": background, "mix_single": plain_sum([voices[0], background])}
        for folder, signal in signals.items():
            soundfile.write(out / folder / f"{name}.wav", signal, 16000)


def timed(action) -> float:
    """Seconds that an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure_speed(root: Path, *, rows: int, longest: int, nj: int) -> None:
    """Print utterances per second of the three ways, taken in turn, and their ratios."""
    corpus = Corpus(root / "corpus", rows=rows, each=rows, longest=longest)
    seconds: dict[str, list[float]] = {"plain loop": [], "recipe, 1 process": [], f"recipe, {nj} processes": []}
    for i in range(_ROUNDS):
        ways = (
            lambda i=i: plain_loop(corpus, root / f"plain{i}"),
            lambda i=i: generate(corpus.plan(root / f"one{i}"), nj=1),
            lambda i=i: generate(corpus.plan(root / f"many{i}"), nj=nj),
        )
        for name, way in zip(seconds, ways, strict=True):
            seconds[name].append(timed(way))
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    for name, taken in median.items():
        print(f"{name:22} {rows / taken:7.1f} utterances/s   {median['plain loop'] / taken:5.2f} x plain loop")


def measure_memory(rows: int, longest: int, nj: int) -> float:
    """Peak memory of the largest process, in MB, of a run in a process of its own."""
    command = [sys.executable, __file__, "--memory_of", str(rows), "--longest", str(longest), "--nj", str(nj)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(result.stdout.split()[-1])


def report_memory(root: Path, *, rows: int, longest: int, nj: int) -> None:
    """Mix and print the peak memory of this process and of its largest child, in MB, the larger one."""
    generate(Corpus(root / "corpus", rows=rows, each=60, longest=longest).plan(root / "out"), nj=nj)
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(max(peaks) / 1024)


def main() -> None:
    """Measure speed and memory and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=120, help="mixtures (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=12.0, help="longest utterance (default: %(default)s)")
    parser.add_argument("--nj", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--memory_of", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--longest", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.memory_of:
            report_memory(Path(folder), rows=args.memory_of, longest=args.longest, nj=args.nj)
            return
        measure_speed(Path(folder), rows=args.rows, longest=int(16000 * args.seconds), nj=args.nj)
    for rows in (args.rows, 4 * args.rows):
        peak = measure_memory(rows, int(16000 * args.seconds), args.nj)
        print(f"peak memory of a process, {rows} rows: {peak:.0f} MB")


if __name__ == "__main__":
    main()
