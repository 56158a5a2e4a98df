"""Enhance audio files and folders with a trained front-end or joint model.

    python -m espnet_plugins.bin.enhance MODEL IN... --out DIR

MODEL is a model file, the directory of a training, a packed model (the .zip that espnet_plugins.bin.pack writes, or the
folder that it was unpacked to), or gtcrn_for_whisper, which comes with this package and is meant for recognizers. Any
format that libsndfile reads, any rate, any number of channels, any length. Each input gives DIR/NAME.wav (32-bit float)
of its own rate, channels and length, or DIR/NAME_spk1.wav, ... with a model of several speakers; folders keep their
structure. A second call does what the first one left, and refuses what was made of another input, with another model or
other options. Files that cannot be used are named and cost exit code 1; the others are done.

FLAC (--format flac) holds nothing above full scale. Results that lie there are made softer as a whole, all speakers of
a file by one factor, which is written to DIR/NAME.gain: divide by it to have the model's level back.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

import espnet_plugins.bin.quiet  # noqa: F401  (before what warns is imported)
from espnet_plugins.atomic import write_text
from espnet_plugins.bin.devices import check_device
from espnet_plugins.inference import Enhancer, command_line
from espnet_plugins.inference.audio import FORMATS, full_scale_gain, read, write
from espnet_plugins.inference.experiment import find_experiment
from espnet_plugins.inference.files import Job, find_jobs, run_jobs


def get_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line.get_parser("espnet_plugins.bin.enhance", __doc__)
    parser.add_argument(
        "--format", choices=sorted(FORMATS), default="wav", help="of the results" + command_line.DEFAULT
    )
    parser.add_argument("--window", type=float, default=30.0, help="seconds enhanced at once" + command_line.DEFAULT)
    parser.add_argument(
        "--overlap", type=float, default=1.0, help="seconds that two windows share" + command_line.DEFAULT
    )
    return parser


def enhance_file(enhancer: Enhancer, job: Job) -> None:
    """Enhance one file; what its format cannot hold is made softer, the factor written beside it."""
    waveform, rate = read(job.source)
    enhanced = enhancer(waveform, rate)
    speakers = enhanced[None] if enhancer.n_speakers == 1 else enhanced
    gain = full_scale_gain(speakers, job.targets[0].suffix.removeprefix("."))
    if gain < 1:
        write_text(job.gain_file, f"{gain:.9g}\n")
        speakers = speakers * np.float32(gain)
    for target, speaker in zip(job.targets, speakers, strict=True):
        write(target, speaker, rate)


def main(cmd: list[str] | None = None) -> None:
    """Enhance with the arguments of the command line, or with `cmd`."""
    parser = get_parser()
    args = parser.parse_args(cmd)
    try:
        command_line.check_out(args.out)
        check_device(args.device)
        options = {"rate": args.rate, "window": args.window, "overlap": args.overlap}
        model, files = command_line.find_model(args)
        enhancer = Enhancer.from_checkpoint(model, **files, device=args.device, **options)
        speakers = [""] if enhancer.n_speakers == 1 else [f"_spk{k + 1}" for k in range(enhancer.n_speakers)]
        jobs = find_jobs(args.inputs, args.out, [f"{speaker}.{args.format}" for speaker in speakers])
        experiment = find_experiment(model, **files)
        ledger = command_line.open_ledger(args, experiment, {**options, "format": args.format})
        failures = run_jobs(jobs, lambda job: enhance_file(enhancer, job), ledger, overwrite=args.overwrite)
    except (ValueError, OSError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")
    if softer := sum(job.gain_file.is_file() for job in jobs if job not in failures):
        print(
            f"{parser.prog}: warning: {softer} of {len(jobs)} results lay above full scale, which {args.format} does "
            f"not hold, and were made softer: factors in {args.out}/*.gain (--format wav keeps the level)",
            file=sys.stderr,
        )
    command_line.report(parser, failures, total=len(jobs), where=args.out)


if __name__ == "__main__":
    main()
