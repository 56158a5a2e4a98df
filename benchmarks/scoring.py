#!/usr/bin/env python3
"""How long stage 7 takes: errors in words and characters, STOI, ESTOI, SDR, SI-SDR; with and without PESQ.

    benchmarks/scoring.py [--utterances 1000] [--nj 2] [--pesq 100]

Signals are noise with the rhythm of syllables, 2 to 6 s at 16 kHz, in FLAC files; transcripts have 6 to 12 words. PESQ
is measured on fewer utterances and given per utterance.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "egs" / "voicebank_librimix"))

import numpy as np
import soundfile

from espnet_plugins.analysis.report.environment import describe_environment
from espnet_plugins.analysis.scoring.errors import score_transcripts
from espnet_plugins.analysis.scoring.quality import METRICS
from local.common.parallel import parallel_map
from local.stages.score import Pair, measure_pair

SAMPLE_RATE = 16000
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def make_pair(index: int, *, folder: Path) -> Pair:
    """Write a signal and a noisy copy of it."""
    generator = np.random.default_rng(index)
    count = int(generator.uniform(2, 6) * SAMPLE_RATE)
    rhythm = np.clip(np.sin(2 * np.pi * 4 * np.arange(count) / SAMPLE_RATE), 0, None)
    speech = 0.1 * rhythm * generator.standard_normal(count)
    paths = []
    for name, signal in (("clean", speech), ("noisy", speech + 0.02 * generator.standard_normal(count))):
        path = folder / f"{name}{index}.flac"
        soundfile.write(path, signal, SAMPLE_RATE)
        paths.append(str(path))
    return Pair(f"u{index:05d}", *paths)


def make_transcripts(count: int) -> tuple[dict[str, str], dict[str, str]]:
    """References, and hypotheses in which a fifth of the words is another one."""
    generator = np.random.default_rng(0)
    references, hypotheses = {}, {}
    for index in range(count):
        words = generator.choice(WORDS, size=generator.integers(6, 13))
        heard = [w if generator.random() < 0.8 else str(generator.choice(WORDS)) for w in words]
        references[f"u{index:05d}"], hypotheses[f"u{index:05d}"] = " ".join(words), " ".join(heard)
    return references, hypotheses


def seconds_of(pairs: list[Pair], *, nj: int, metrics: tuple[str, ...]) -> float:
    """Time the measurements, the start of the processes included."""
    start = time.perf_counter()
    chosen = [dataclasses.replace(pair, metrics=metrics) for pair in pairs]
    measured = list(parallel_map(measure_pair, chosen, nj=nj, batch=4))
    if failed := [why for _, _, why in measured if why]:
        raise SystemExit(f"scoring.py: error: {len(failed)} of {len(pairs)} pairs were not measured: {failed[0]}")
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=1000)
    parser.add_argument("--pesq", type=int, default=100, help="utterances on which PESQ is measured")
    parser.add_argument("--nj", type=int, default=2, help="processes")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        pairs = [make_pair(index, folder=Path(name)) for index in range(args.utterances)]
        length = sum(soundfile.info(pair.reference).duration for pair in pairs)
        references, hypotheses = make_transcripts(args.utterances)
        start = time.perf_counter()
        score_transcripts(references, hypotheses, conditions={}, speakers={})
        errors = time.perf_counter() - start
        without = tuple(metric for metric in METRICS if metric != "pesq")
        quality = seconds_of(pairs, nj=args.nj, metrics=without)
        some = pairs[: args.pesq]
        pesq = seconds_of(some, nj=args.nj, metrics=("pesq",)) if some else float("nan")
    print(f"{args.utterances} utterances of {length / len(pairs):.1f} s, {args.nj} processes")
    print(f"errors (jiwer)                 {errors:7.1f} s")
    print(f"{', '.join(without):30s} {quality:7.1f} s")
    print(f"together, without PESQ         {errors + quality:7.1f} s")
    if some:
        print(f"PESQ, {len(some)} utterances          {pesq:7.1f} s  ({1e3 * pesq / len(some):.0f} ms each)")
    environment = describe_environment("", date=time.strftime("%F"))
    print(f"{environment['date']}, commit {environment['git commit']}, {environment['machine']}")


if __name__ == "__main__":
    main()
