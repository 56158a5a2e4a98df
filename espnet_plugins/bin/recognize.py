"""Recognize audio files and folders with a trained recognizer, or with front-end and recognizer.

    python -m espnet_plugins.bin.recognize MODEL IN... --out DIR

MODEL is a model file, the directory of a training, or a packed model. Any format that libsndfile reads, any rate, any
number of channels (averaged), any length (cut at pauses). Each input gives DIR/NAME.txt, a line for each speaker of the
model; DIR/text holds all that lie there, a line per file. A second call does what the first one left, and refuses what
was made of another input, with another model or other options. Files that cannot be used are named and cost exit code
1; the others are done.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import espnet_plugins.bin.quiet  # noqa: F401  (before what warns is imported)
from espnet_plugins.atomic import write_text
from espnet_plugins.bin.devices import check_device
from espnet_plugins.inference import Recognizer, command_line
from espnet_plugins.inference.audio import read
from espnet_plugins.inference.experiment import find_experiment
from espnet_plugins.inference.files import Job, find_jobs, run_jobs
from espnet_plugins.inference.provenance import Ledger, Stamp


def get_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_line.get_parser("espnet_plugins.bin.recognize", __doc__)
    parser.add_argument("--bpemodel", type=Path, help="sentencepiece model, where it is not where the training had it")
    parser.add_argument("--longest", type=float, default=30.0, help="seconds recognized at once" + command_line.DEFAULT)
    parser.add_argument("--beam_size", type=int, default=10, help="of the search" + command_line.DEFAULT)
    parser.add_argument(
        "--ctc_weight", type=float, help="in the search (default: 1 for a model of CTC alone, else 0.3)"
    )
    return parser


def recognize_file(recognizer: Recognizer, job: Job) -> None:
    """Recognize one file."""
    words = recognizer(*read(job.source))
    write_text(job.targets[0], "".join(f"{line}\n" for line in ([words] if isinstance(words, str) else words)))


def write_table(ledger: Ledger) -> None:
    """Write DIR/text: the name of each file below DIR and its words."""
    lines = []
    for result in ledger.results():
        try:
            words = " ".join(result.read_text(encoding="utf-8").split("\n")).strip()
        except UnicodeDecodeError:
            raise ValueError(f"{result} is not UTF-8: remove it, and it is made again") from None
        lines.append(f"{result.relative_to(ledger.out).with_suffix('')} {words}".strip())
    write_text(ledger.out / "text", "".join(f"{line}\n" for line in sorted(lines)))


def main(cmd: list[str] | None = None) -> None:
    """Recognize with the arguments of the command line, or with `cmd`."""
    parser = get_parser()
    args = parser.parse_args(cmd)
    try:
        command_line.check_out(args.out)
        check_device(args.device)
        jobs = find_jobs(args.inputs, args.out, [".txt"])
        options = {name: getattr(args, name) for name in ("rate", "longest", "beam_size", "ctc_weight")}
        model, files = command_line.find_model(args)
        recognizer = Recognizer.from_checkpoint(model, **files, bpemodel=args.bpemodel, device=args.device, **options)
        experiment = find_experiment(model, **files)
        bpemodel = {} if args.bpemodel is None else {"bpemodel": Stamp.of(args.bpemodel)}
        ledger = command_line.open_ledger(args, experiment, {**options, **bpemodel})
        failures = run_jobs(jobs, lambda job: recognize_file(recognizer, job), ledger, overwrite=args.overwrite)
    except (ValueError, OSError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")
    table_fault = ""
    try:
        write_table(ledger)
    except (ValueError, OSError) as error:
        table_fault = f"{args.out / 'text'} is not up to date: {error}"
    command_line.report(parser, failures, total=len(jobs), where=args.out / "text", table_fault=table_fault)


if __name__ == "__main__":
    main()
