"""Enhance audio files and folders with a trained front-end or joint model.

    python -m espnet_plugins.bin.enhance MODEL IN... --out DIR

MODEL is a model file or the directory of a training. Any format that libsndfile reads, any rate, any number of
channels, any length. Each input gives DIR/NAME.wav (32-bit float) of its own rate, channels and length, or
DIR/NAME_spk1.wav, ... with a model of several speakers; folders keep their structure. A second call does what the
first one left.
"""

from __future__ import annotations

import argparse

from espnet_plugins.inference import Enhancer, command_line
from espnet_plugins.inference.audio import FORMATS, read, write
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
    """Enhance one file; the job's target appears last, so that it stands for all speakers."""
    waveform, rate = read(job.source)
    enhanced = enhancer(waveform, rate)
    if enhancer.n_speakers == 1:
        write(job.target, enhanced, rate)
        return
    first = job.target.stem.removesuffix("_spk1")
    for speaker in range(enhancer.n_speakers, 0, -1):
        write(job.target.with_name(f"{first}_spk{speaker}{job.target.suffix}"), enhanced[speaker - 1], rate)


def main(cmd: list[str] | None = None) -> None:
    """Enhance with the arguments of the command line, or with `cmd`."""
    parser = get_parser()
    args = parser.parse_args(cmd)
    try:
        options = {"rate": args.rate, "window": args.window, "overlap": args.overlap}
        enhancer = Enhancer.from_checkpoint(args.model, config=args.config, device=args.device, **options)
        suffix = f".{args.format}" if enhancer.n_speakers == 1 else f"_spk1.{args.format}"
        jobs = find_jobs(args.inputs, args.out, suffix)
        command_line.claim_folder(args, {**options, "format": args.format})
        failures = run_jobs(jobs, lambda job: enhance_file(enhancer, job), overwrite=args.overwrite)
    except (ValueError, OSError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")
    command_line.report(parser, failures, total=len(jobs), where=args.out)


if __name__ == "__main__":
    main()
