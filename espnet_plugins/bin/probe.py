"""Measure how much of an SSL model's frames follows their index, and of the objectives' gradients there.

    python -m espnet_plugins.bin.probe UPSTREAM WAV... --out DIR

UPSTREAM is an upstream file of this repository (the recipe's exp/PRESET/ssl/upstream.pth), a Hugging Face model
directory, a weight file or folder of Whisper, or the name of a model (hubert_base, whisper_base, ...). WAV are audio
files and folders; a dozen utterances of a few seconds give a first impression, fifty a narrow interval. DIR gets
probe.json, probe.md and probe.png. Files that cannot be read are named and cost exit code 1. What the numbers mean:
docs/positions.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import espnet_plugins.bin.quiet  # noqa: F401  (before what warns is imported)
from espnet_plugins.analysis.probe.waveforms import probe_waveforms, write_result
from espnet_plugins.analysis.scoring.quality import spread
from espnet_plugins.inference.audio import AudioError, duration, read, resample
from espnet_plugins.inference.command_line import DEFAULT, Parser, check_out
from espnet_plugins.inference.files import find_audio
from espnet_plugins.objectives import SSL_CRITERIA
from espnet_plugins.ssl import find_upstream, get_shared_upstream


def get_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser, default = Parser("espnet_plugins.bin.probe", __doc__), DEFAULT
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
    parser.add_argument("--raw_frames", action="store_true", help="do not L2-normalize frames")
    parser.add_argument(
        "--remove_position",
        metavar="SPEECH",
        help="probe frames without what all have in common at an index, estimated on this folder or wav.scp, which "
        "should hold other utterances",
    )
    parser.add_argument("--seed", type=int, default=0, help="of all draws" + default)
    return parser


def read_utterances(
    inputs: Sequence[str], *, rate: int, seconds: float, count: int
) -> tuple[list[torch.Tensor], list[AudioError]]:
    """Read the first channel of up to ``count`` utterances, an even choice of those that are long enough.

    Args:
        inputs: Files and folders.
        rate: In Hz, to which they are resampled.
        seconds: Least length.
        count: At most so many.

    Returns:
        (T,) each, and what was wrong with files that could not be read.
    """
    long_enough, unreadable, short = [], [], 0
    for file in find_audio(inputs):
        length = duration(file)
        if length == 0:
            try:
                read(file)
            except AudioError as error:
                unreadable.append(error)
        if length >= seconds:
            long_enough.append(str(file))
        elif length:
            short += 1
    if short:
        print(f"{short} files are shorter than {seconds:g} s and are left out", file=sys.stderr)
    utterances = []
    for name in spread(long_enough, count):
        try:
            waveform, own_rate = read(Path(name))
        except AudioError as error:
            unreadable.append(error)
        else:
            utterances.append(torch.from_numpy(resample(waveform, own_rate, rate)[:, 0].copy()))
    return utterances, unreadable


def main(cmd: list[str] | None = None) -> None:
    """Probe with the arguments of the command line, or with `cmd`."""
    parser = get_parser()
    args = parser.parse_args(cmd)
    unreadable: list[AudioError] = []
    try:
        check_out(args.out)
        options: dict[str, Any] = find_upstream(args.upstream)
        rate = get_shared_upstream(**options).sample_rate
        utterances, unreadable = read_utterances(args.inputs, rate=rate, seconds=args.seconds, count=args.utterances)
        result = probe_waveforms(
            options,
            utterances,
            SSL_CRITERIA,
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
        for reason in unreadable:
            print(f"{parser.prog}: error: {reason}", file=sys.stderr)
        parser.exit(1, f"{parser.prog}: error: {error}\n")
    print(result.table().plain())
    print(f"\n{result.caption()}\n\n{args.out / 'probe.png'}")
    for reason in unreadable:
        print(f"{parser.prog}: error: left out: {reason}", file=sys.stderr)
    if unreadable:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
