"""Recognise audio files and folders with a trained recogniser, or with front-end and recogniser.

    python -m espnet_plugins.bin.recognize MODEL IN... --out DIR

MODEL is a model file or the directory of a training. Any format that libsndfile reads, any rate, any number of
channels (averaged), any length (cut at pauses). Each input gives DIR/NAME.txt, a line for each speaker of the model;
DIR/text holds all of them, a line per file. A second call does what the first one left.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from espnet_plugins.inference import Recognizer
from espnet_plugins.inference.audio import read
from espnet_plugins.inference.experiment import find_experiment
from espnet_plugins.inference.files import Job, check_settings, find_jobs, forget_settings, run_jobs, write_text


def get_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m espnet_plugins.bin.recognize",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = " (default: %(default)s)"
    parser.add_argument("model", metavar="MODEL", help="model file, or directory of a training")
    parser.add_argument("inputs", nargs="+", metavar="IN", help="audio files or folders")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the results go")
    parser.add_argument("--config", type=Path, help="config.yaml of the training, where it is not beside the model")
    parser.add_argument("--bpemodel", type=Path, help="sentencepiece model, where it is not where the training had it")
    parser.add_argument("--rate", type=int, default=16000, help="that the model was trained at, in Hz" + default)
    parser.add_argument("--longest", type=float, default=30.0, help="seconds recognised at once" + default)
    parser.add_argument("--beam_size", type=int, default=10, help="of the search" + default)
    parser.add_argument(
        "--ctc_weight", type=float, help="in the search (default: 1 for a model of CTC alone, else 0.3)"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda" + default)
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there")
    return parser


def recognize_file(recognizer: Recognizer, job: Job) -> None:
    """Recognise one file."""
    words = recognizer(*read(job.source))
    write_text(job.target, "".join(f"{line}\n" for line in ([words] if isinstance(words, str) else words)))


def write_table(jobs: list[Job], out: Path) -> None:
    """Write DIR/text: the name of each file below DIR and its words."""
    lines = []
    for job in jobs:
        if job.target.is_file():
            words = " ".join(job.target.read_text(encoding="utf-8").split("\n")).strip()
            lines.append(f"{job.target.relative_to(out).with_suffix('')} {words}".strip())
    write_text(out / "text", "".join(f"{line}\n" for line in sorted(lines)))


def main(cmd: list[str] | None = None) -> None:
    """Recognise with the arguments of the command line, or with `cmd`."""
    parser = get_parser()
    args = parser.parse_args(cmd)
    try:
        jobs = find_jobs(args.inputs, args.out, ".txt")
        options = {name: getattr(args, name) for name in ("rate", "longest", "beam_size", "ctc_weight")}
        recognizer = Recognizer.from_checkpoint(
            args.model, config=args.config, bpemodel=args.bpemodel, device=args.device, **options
        )
        weights = find_experiment(args.model, config=args.config).weights.resolve()
        if args.overwrite:
            forget_settings(args.out)
        check_settings(args.out, {"model": [str(weights), weights.stat().st_mtime], **options})
        failures = run_jobs(jobs, lambda job: recognize_file(recognizer, job), overwrite=args.overwrite)
        write_table(jobs, args.out)
    except (ValueError, OSError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")
    for failure in failures:
        print(f"{parser.prog}: error: {failure}", file=sys.stderr)
    print(f"{len(jobs) - len(failures)} of {len(jobs)} files are in {args.out / 'text'}")
    if failures:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
