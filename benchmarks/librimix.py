#!/usr/bin/env python3
"""How fast mixtures are made, against a plain loop over the same rows, and how much memory that takes.

    benchmarks/librimix.py [--rows 120] [--seconds 12] [--nj 2]

Makes a corpus of noise with the layout of LibriSpeech and WHAM!, then mixes it (mix_single, max mode, 16 kHz)
by a plain single-process loop, by the recipe with one process and by the recipe with --nj processes, in turn,
and prints utterances per second and their ratios, beside them how fast the same files are copied, and the peak
memory of the processes for that many rows and for four times as many.
"""

from __future__ import annotations

import argparse
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

from local.corpora.librimix_mixing import generate  # noqa: E402

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


def write_alone(made: Path, out: Path) -> None:
    """Write files again that are made already: what the disk allows."""
    for path in made.rglob("*.wav"):
        (out / path.parent.name).mkdir(parents=True, exist_ok=True)
        (out / path.parent.name / path.name).write_bytes(path.read_bytes())


def timed(action) -> float:
    """Seconds that an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure_speed(root: Path, *, rows: int, longest: int, nj: int) -> None:
    """Print utterances per second of the three ways, taken in turn, and their ratios."""
    corpus = Corpus(root / "corpus", rows=rows, each=rows, longest=longest)
    seconds: dict[str, list[float]] = {"plain loop": [], "recipe, 1 process": [], f"recipe, {nj} processes": []}
    seconds["files copied"] = []
    for i in range(_ROUNDS):
        ways = (
            lambda i=i: plain_loop(corpus, root / f"plain{i}"),
            lambda i=i: generate(corpus.plan(root / f"one{i}"), nj=1),
            lambda i=i: generate(corpus.plan(root / f"many{i}"), nj=nj),
            lambda i=i: write_alone(root / f"many{i}", root / f"copy{i}"),
        )
        for name, way in zip(seconds, ways, strict=True):
            seconds[name].append(timed(way))
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    for name, taken in median.items():
        print(f"{name:22} {rows / taken:7.1f} utterances/s   {median['plain loop'] / taken:5.2f} x plain loop")


def _peaks(session: int) -> dict[int, int]:
    """Peak resident memory so far, in kB, of the processes of a session."""
    peaks = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # Behind the name, which may hold blanks: state, parent, group, session.
            if int((folder / "stat").read_text().rpartition(")")[2].split()[3]) != session:
                continue
            lines = (folder / "status").read_text().splitlines()
            peaks[int(folder.name)] = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
        except (OSError, StopIteration):
            continue
    return peaks


def measure_memory(rows: int, longest: int, nj: int) -> list[float]:
    """Peak memory of every process of a run, in MB, the largest first."""
    command = [sys.executable, __file__, "--memory_of", str(rows), "--longest", str(longest), "--nj", str(nj)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    peaks: dict[int, int] = {}
    while process.poll() is None:
        for pid, peak in _peaks(process.pid).items():
            peaks[pid] = max(peak, peaks.get(pid, 0))
        time.sleep(0.02)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return sorted((peak / 1024 for peak in peaks.values()), reverse=True)


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
            corpus = Corpus(Path(folder) / "corpus", rows=args.memory_of, each=60, longest=args.longest)
            generate(corpus.plan(Path(folder) / "out"), nj=args.nj)
            return
        measure_speed(Path(folder), rows=args.rows, longest=int(16000 * args.seconds), nj=args.nj)
    for rows in (args.rows, 4 * args.rows):
        peaks = measure_memory(rows, int(16000 * args.seconds), args.nj)
        shown = ", ".join(f"{peak:.0f}" for peak in peaks)
        print(f"peak memory of the processes, {rows} rows: {shown} MB")


if __name__ == "__main__":
    main()
