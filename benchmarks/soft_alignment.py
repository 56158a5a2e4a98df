#!/usr/bin/env python3
"""What gamma does: soft alignments of sentences with their speed-perturbed selves, on real features.

    benchmarks/soft_alignment.py WAV... [--upstream FILE] [--figure PNG]

Each sentence is played --factor times as fast, both versions are turned into frames of 20 ms, and the two are
aligned for a range of gammas. The resampling tells where each frame went, so the table can say, as means over the
frames of all sentences:

  width    frames of the other version that a frame is spread over: exp of the entropy of its row of the alignment
  error    frames between the center of that row and where the frame really went

Features are log-mel energies and, with --upstream (a file of espnet_plugins.ssl.save_upstream, such as the recipe's
exp/mini/ssl/model.pt), SSL frames, each raw and L2-normalized. "median cost" is the median squared
distance between frames of the two versions: what gamma should be compared with. --figure draws the first sentence.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import soundfile
import torch
from torch.nn.functional import normalize

from espnet_plugins.analysis.comparison.tables import Table
from espnet_plugins.perturb import speed
from espnet_plugins.soft_dtw import soft_alignment
from espnet_plugins.ssl import build_upstream

SAMPLE_RATE, HOP, WINDOW, MELS = 16000, 320, 400, 40
SHOWN = (0.1, 1.0, 10.0)


class LogMel(torch.nn.Module):
    """Log-mel energies, at most 80 dB below the loudest, less their mean over the utterance."""

    def __init__(self) -> None:
        super().__init__()
        from torchaudio.transforms import MelSpectrogram

        self.mel = MelSpectrogram(SAMPLE_RATE, n_fft=512, win_length=WINDOW, hop_length=HOP, n_mels=MELS, center=False)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """(1, T) to (1, frames, MELS)."""
        power = self.mel(waveform).mT
        log = power.clamp(min=1e-8 * power.max().item()).log()
        return log - log.mean(1, keepdim=True)


def load(path: Path) -> torch.Tensor:
    """Read a sentence as (1, T)."""
    samples, rate = soundfile.read(path, dtype="float32")
    if rate != SAMPLE_RATE or samples.ndim != 1:
        raise ValueError(f"{path}: {rate} Hz, shape {samples.shape}; needed is {SAMPLE_RATE} Hz, one channel")
    return torch.from_numpy(samples)[None]


def make_features(upstream: Path | None) -> dict:
    """Name -> function from (1, T) to (1, frames, D)."""
    log_mel = LogMel()
    functions = {"log-mel": log_mel}
    if upstream:
        model = build_upstream("local", checkpoint=upstream)
        functions["SSL"] = lambda waveform: model(waveform, torch.tensor([waveform.shape[1]]))[0]
    scaled = {
        f"{name}, divided by length": lambda waveform, function=function: normalize(function(waveform), dim=-1)
        for name, function in functions.items()
    }
    return functions | scaled


def align(x: torch.Tensor, y: torch.Tensor, gamma: float, factor: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Width and error of each frame of x."""
    rows = soft_alignment(x, y, gamma=gamma)[0].double()
    rows = rows / rows.sum(1, keepdim=True)
    width = torch.special.entr(rows).sum(1).exp()
    center = rows @ torch.arange(y.shape[1], dtype=torch.float64)
    # Windows begin at multiples of the hop in both versions; what counts is where their middles are.
    middle = WINDOW / 2 / HOP
    went = (torch.arange(x.shape[1]) + middle) / factor - middle
    return width, (center - went.clamp(max=y.shape[1] - 1)).abs()


def measure(sentences: list[torch.Tensor], functions: dict, gammas: list[float], factor: float) -> Table:
    """One row for each kind of features."""
    lines = []
    for name, function in functions.items():
        pairs = [(function(wave), function(speed(wave, None, [factor]).waveform)) for wave in sentences]
        costs = torch.cat([torch.cdist(x, y).square().flatten() for x, y in pairs])
        cells = [name, f"{costs.median():.3g}"]
        for gamma in gammas:
            results = [align(x, y, gamma, factor) for x, y in pairs]
            width, error = (torch.cat(values).mean().item() for values in zip(*results, strict=True))
            cells.append(f"{width:.1f} / {error:.1f}")
        lines.append(cells)
    return Table(["features", "median cost", *(f"gamma {gamma:g}" for gamma in gammas)], lines)


def draw(wave: torch.Tensor, factor: float, path: Path) -> None:
    """Draw the alignments of a sentence for three gammas beside the log-mel frames of both versions."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    log_mel = LogMel()
    frames = [log_mel(version) for version in (wave, speed(wave, None, [factor]).waveform)]
    x, y = (normalize(version, dim=-1) for version in frames)
    seconds = [version.shape[1] * HOP / SAMPLE_RATE for version in frames]
    figure, axes = plt.subplots(
        2, 4, figsize=(10, 3.9), width_ratios=(0.35, 1, 1, 1), height_ratios=(1, 0.3), layout="constrained"
    )
    extent = (0, seconds[1], seconds[0], 0)
    for above, below, gamma in zip(axes[0, 1:], axes[1, 1:], SHOWN, strict=True):
        alignment = soft_alignment(x, y, gamma=gamma)[0]
        above.imshow(alignment.sqrt(), extent=extent, aspect="auto", cmap="Greys", interpolation="nearest")
        above.plot([0, seconds[1]], [0, seconds[1] * factor], color="#0072B2", linewidth=0.8, linestyle=(0, (6, 6)))
        above.set(title=f"gamma = {gamma:g}", xticks=[], yticks=[], ylim=(seconds[0], 0))
        below.imshow(frames[1][0].T, extent=(0, seconds[1], 0, 1), aspect="auto", origin="lower", cmap="Greys")
        below.set(yticks=[], xlabel=f"seconds, {factor:g} times as fast")
    side = axes[0, 0]
    side.imshow(frames[0][0].flip(1), extent=(0, 1, seconds[0], 0), aspect="auto", cmap="Greys")
    side.set(xticks=[], ylabel="seconds, sentence as spoken")
    axes[1, 0].axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sentences", nargs="+", type=Path, metavar="WAV", help="16 kHz, one channel")
    parser.add_argument("--factor", type=float, default=0.8, help="speed (default: %(default)s)")
    parser.add_argument(
        "--gammas",
        nargs="+",
        type=float,
        metavar="G",
        default=[0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0],
        help="smoothings (default: powers of ten from 0.001 to 1000)",
    )
    parser.add_argument("--upstream", type=Path, metavar="FILE", help="SSL model; without it, log-mel only")
    parser.add_argument("--figure", type=Path, metavar="PNG", help="where to draw the first sentence")
    args = parser.parse_args()
    try:
        sentences = [load(path) for path in args.sentences]
        with torch.inference_mode():
            print(measure(sentences, make_features(args.upstream), args.gammas, args.factor).markdown())
            if args.figure:
                draw(sentences[0], args.factor, args.figure)
    except (OSError, ValueError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")


if __name__ == "__main__":
    main()
