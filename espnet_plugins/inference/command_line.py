"""What the programs that apply a model to files have in common on the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from espnet_plugins.inference.experiment import find_experiment
from espnet_plugins.inference.files import check_settings, forget_settings

DEFAULT = " (default: %(default)s)"


def get_parser(program: str, description: str) -> argparse.ArgumentParser:
    """Make a parser with the model, the inputs, and where results go.

    Args:
        program: Name of the module, for messages.
        description: The module's docstring.

    Returns:
        The parser; the program adds options of its own.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {program}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="MODEL", help="model file, or directory of a training")
    parser.add_argument("inputs", nargs="+", metavar="IN", help="audio files or folders")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the results go")
    parser.add_argument("--config", type=Path, help="config.yaml of the training, where it is not beside the model")
    parser.add_argument("--rate", type=int, default=16000, help="that the model was trained at, in Hz" + DEFAULT)
    parser.add_argument("--device", default="cpu", help="cpu or cuda" + DEFAULT)
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there")
    return parser


def claim_folder(args: argparse.Namespace, options: Mapping[str, Any]) -> None:
    """Make sure that what lies in the output folder was made with this model and these options.

    Args:
        args: Of get_parser().
        options: On which results depend.

    Raises:
        ValueError: When the folder holds results of another model or other options.
    """
    weights = find_experiment(args.model, config=args.config).weights.resolve()
    if args.overwrite:
        forget_settings(args.out)
    check_settings(args.out, {"model": [str(weights), weights.stat().st_mtime], **options})


def report(parser: argparse.ArgumentParser, failures: Sequence[str], *, total: int, where: Path) -> None:
    """Say how many files succeeded and what went wrong with the others.

    Args:
        parser: For the program's name.
        failures: A line per file that failed.
        total: Files in all.
        where: The results.

    Raises:
        SystemExit: With code 1 when a file failed.
    """
    for failure in failures:
        print(f"{parser.prog}: error: {failure}", file=sys.stderr)
    print(f"{total - len(failures)} of {total} files are in {where}")
    if failures:
        raise SystemExit(1)
