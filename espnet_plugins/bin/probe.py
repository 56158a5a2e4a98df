"""Measure how much of an SSL model's frames follows their index, and of the objectives' gradients there.

    python -m espnet_plugins.bin.probe UPSTREAM WAV... --out DIR

UPSTREAM is an upstream file of this repository (the recipe's exp/PRESET/ssl/upstream.pth), a Hugging Face model
directory, a weight file or folder of Whisper, or the name of a model (hubert_base, whisper_base, ...). WAV are audio
files and folders; a dozen utterances of a few seconds give a first impression, fifty a narrow interval. DIR gets
probe.json, probe.md and probe.png. What the numbers mean: docs/positions.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize

from espnet_plugins.analysis.probe import ProbeResult
from espnet_plugins.analysis.probe.figure import plot_probe
from espnet_plugins.analysis.probe.measure import Objective, probe
from espnet_plugins.analysis.scoring.quality import spread
from espnet_plugins.atomic import atomic_path
from espnet_plugins.inference.audio import duration, read, resample
from espnet_plugins.inference.files import find_audio
from espnet_plugins.objectives import SSL_CRITERIA, SSLCriterion
from espnet_plugins.objectives.without_position import without_position
from espnet_plugins.ssl import find_upstream, get_shared_upstream
from espnet_plugins.ssl.spec import resolve_layers

NAMES = ("probe.json", "probe.md", "probe.png")


def make_objective(criterion: SSLCriterion) -> Objective:
    """The criterion as a function of the estimate's frames before their normalisation."""

    def loss(reference: torch.Tensor, frames: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        estimate = normalize(frames, dim=-1) if criterion.normalize_frames else frames
        target, target_lengths = criterion.reference_frames(reference, None)
        return criterion.distance(estimate, target, lengths, target_lengths)

    return loss


def probe_waveforms(
    upstream: Mapping[str, Any],
    utterances: Sequence[torch.Tensor],
    *,
    seconds: float,
    gradient_layers: Sequence[int] | None = None,
    unit_length: bool = True,
    turns: int = 4,
    snr: float = 5.0,
    seed: int = 0,
    remove_position: bool | Mapping[str, Any] = False,
) -> ProbeResult:
    """Probe an upstream and the gradients of every criterion with its default constants.

    Args:
        upstream: Options of :func:`~espnet_plugins.ssl.build_upstream`.
        utterances: (T,) each, at the upstream's rate.
        seconds: Length of the pieces.
        gradient_layers: Layers at which gradients are probed; all where left out.
        unit_length: Divide frames by their length.
        turns: Versions of each piece.
        snr: Of the estimates, in dB.
        seed: Of all draws.
        remove_position: As the criteria's option of this name; the frames probed are then without position, too.

    Returns:
        What was found.

    Raises:
        ValueError: For a wrong option, or too few utterances that are long enough.
    """
    model = without_position("probe", get_shared_upstream(**upstream), remove_position, unit_length=unit_length)
    everything = range(model.n_layers + 1)
    chosen = everything if gradient_layers is None else resolve_layers(gradient_layers, model.n_layers)[0]
    options: dict[str, Any] = {
        "upstream": dict(upstream),
        "normalize_frames": unit_length,
        "sample_rate": model.sample_rate,
        "remove_position": remove_position,
    }
    objectives = {
        layer: {name: make_objective(criterion(layer=layer, **options)) for name, criterion in SSL_CRITERIA.items()}
        for layer in chosen
    }
    return probe(
        model,
        utterances,
        objectives=objectives,
        frames=max(int(seconds * model.sample_rate) // model.hop, 2),
        turns=turns,
        snr=snr,
        unit_length=unit_length,
        seed=seed,
    )


def write_result(result: ProbeResult, out: Path) -> None:
    """Write the numbers, the table and the figure into ``out``; each file is whole or not there."""
    text = f"{result.table().markdown()}\n\n{result.upstream}. {result.caption()}\n"
    writers: dict[str, Callable[[Path], object]] = {
        "probe.json": result.write,
        "probe.md": lambda path: path.write_text(text, encoding="utf-8"),
        "probe.png": lambda path: plot_probe(result).savefig(path, format="png", dpi=150),
    }
    for name, write in writers.items():
        with atomic_path(out / name) as temporary:
            write(temporary)


def get_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m espnet_plugins.bin.probe",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = " (default: %(default)s)"
    parser.add_argument("upstream", metavar="UPSTREAM", help="upstream file, model directory, or bundle")
    parser.add_argument("inputs", nargs="+", metavar="WAV", help="audio files or folders")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the results go")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="of each utterance; shorter ones are left out" + default
    )
    parser.add_argument("--utterances", type=int, default=64, help="at most; an even choice of more" + default)
    parser.add_argument("--turns", type=int, default=4, help="versions of each piece" + default)
    parser.add_argument("--snr", type=float, default=5.0, help="of the estimates behind gradients, dB" + default)
    parser.add_argument(
        "--gradient_layers", type=int, nargs="+", metavar="N", help="layers to probe gradients at (default: all)"
    )
    parser.add_argument("--raw_frames", action="store_true", help="do not divide frames by their length")
    parser.add_argument(
        "--remove_position",
        metavar="SPEECH",
        help="probe frames without what all have in common at an index, estimated on this folder or wav.scp, which "
        "should hold other utterances",
    )
    parser.add_argument("--seed", type=int, default=0, help="of all draws" + default)
    return parser


def read_utterances(inputs: Sequence[str], *, rate: int, seconds: float, count: int) -> list[torch.Tensor]:
    """Read the first channel of up to ``count`` utterances, an even choice of those that are long enough."""
    long_enough = [str(file) for file in find_audio(inputs) if duration(file) >= seconds]
    utterances = []
    for name in spread(long_enough, count):
        waveform, own_rate = read(Path(name))
        utterances.append(torch.from_numpy(resample(waveform, own_rate, rate)[:, 0].copy()))
    return utterances


def main(cmd: list[str] | None = None) -> None:
    """Probe with the arguments of the command line, or with `cmd`."""
    parser = get_parser()
    args = parser.parse_args(cmd)
    try:
        options = find_upstream(args.upstream)
        rate = get_shared_upstream(**options).sample_rate
        result = probe_waveforms(
            options,
            read_utterances(args.inputs, rate=rate, seconds=args.seconds, count=args.utterances),
            seconds=args.seconds,
            gradient_layers=args.gradient_layers,
            unit_length=not args.raw_frames,
            turns=args.turns,
            snr=args.snr,
            seed=args.seed,
            remove_position={"speech": args.remove_position} if args.remove_position else False,
        )
        write_result(result, args.out)
    except (ValueError, OSError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")
    print(result.table().plain())
    print(f"\n{result.caption()}\n\n{args.out / 'probe.png'}")


if __name__ == "__main__":
    main()
