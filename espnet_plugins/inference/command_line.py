"""What the programs that apply a model to files have in common on the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from espnet_plugins.inference.experiment import Experiment
from espnet_plugins.inference.files import Job
from espnet_plugins.inference.pretrained import fetch_pretrained
from espnet_plugins.inference.provenance import Ledger, Stamp
from espnet_plugins.inference.ready import ready_model, ready_models

DEFAULT = " (default: %(default)s)"


class Parser(argparse.ArgumentParser):
    """A program's command line, whose faults are one line each.

    Args:
        program: Name of the module, for messages.
        description: The module's docstring.
        epilog: Behind the options.

    Example:
        >>> Parser("espnet_plugins.bin.enhance", "Enhance.").prog
        'python -m espnet_plugins.bin.enhance'
    """

    def __init__(self, program: str, description: str, *, epilog: str | None = None):
        super().__init__(
            prog=f"python -m {program}",
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """End with the fault and where the options stand, instead of with the usage.

        Raises:
            SystemExit: With code 2.
        """
        self.exit(2, f"{self.prog}: error: {message} ({self.prog} --help shows all options)\n")


def check_out(out: Path, *, folder: bool = True) -> None:
    """Refuse an --out that is no place for the result, before anything is computed.

    Args:
        out: The value of --out.
        folder: Whether the result is a folder; else a file.

    Raises:
        ValueError: For a file where a folder is needed, or a folder where a file is needed.

    Example:
        >>> check_out(Path("/"), folder=False)
        Traceback (most recent call last):
        ValueError: --out / is a folder; give a file
    """
    if not folder and out.is_dir():
        raise ValueError(f"--out {out} is a folder; give a file")
    for place in (out, *out.parents) if folder else out.parents:
        if place.exists() and not place.is_dir():
            is_file = "is a file" if place == out else f"would lie in {place}, which is a file"
            raise ValueError(f"--out {out} {is_file}; give {'a' if place == out else 'another'} folder")


def model_parser(program: str, description: str, *, out: str, packed: bool = True) -> argparse.ArgumentParser:
    """Make a parser with a model, and where the result goes.

    Args:
        program: Name of the module, for messages.
        description: The module's docstring.
        out: What the result is, in capitals.
        packed: Whether the model may be a packed one, see find_model().

    Returns:
        The parser; the program adds options of its own.
    """
    parser = Parser(program, description)
    kinds = "model file, directory of a training"
    if packed:
        kinds = f"{kinds}, packed model, or one that comes with this package: {', '.join(ready_models())}"
    parser.add_argument("model", metavar="MODEL", help=kinds)
    parser.add_argument("--out", type=Path, required=True, metavar=out, help="where the result goes")
    parser.add_argument("--config", type=Path, help="config.yaml of the training, where it is not beside the model")
    _add_moved(parser)
    return parser


def add_rate(parser: argparse.ArgumentParser) -> None:
    """Add the option for the sampling rate of a model, which no configuration names."""
    parser.add_argument("--rate", type=int, default=16000, help="that the model was trained at, in Hz" + DEFAULT)


def get_parser(program: str, description: str) -> argparse.ArgumentParser:
    """Make a parser with the model, the inputs, and where results go.

    Args:
        program: Name of the module, for messages.
        description: The module's docstring.

    Returns:
        The parser; the program adds options of its own.
    """
    parser = model_parser(program, description, out="DIR")
    parser.add_argument("inputs", nargs="+", metavar="IN", help="audio files or folders")
    add_rate(parser)
    parser.add_argument("--device", default="cpu", help="cpu or cuda" + DEFAULT)
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there")
    return parser


def _add_moved(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--moved",
        type=_moved,
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="of paths that config.yaml names (upstream, statistics, sentencepiece model): their beginning, and what "
        "stands there now; may be given several times",
    )


def find_model(args: argparse.Namespace) -> tuple[Path, dict[str, Any]]:
    """Find the model that the command line names; a packed one is unpacked into the cache.

    Args:
        args: Of get_parser().

    Returns:
        The model, and `config` and `moved` as `from_checkpoint` takes them.

    Raises:
        ValueError: For an archive that is no packed model, or would write outside its folder.
    """
    model, config = Path(args.model), args.config
    # A name that is not there is none of a hub: a slip of the pen must not ask the network.
    if config is None and (model.exists() or ready_model(args.model)):
        model, config = fetch_pretrained(model)
    return model, {"config": config, "moved": dict(args.moved)}


def _moved(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise argparse.ArgumentTypeError(f"{text!r} is not OLD=NEW")
    return old, new


def open_ledger(args: argparse.Namespace, experiment: Experiment, options: Mapping[str, Any]) -> Ledger:
    """Open the ledger of the output folder, for results of this model and these options.

    Args:
        args: Of get_parser().
        experiment: The model.
        options: On which results depend.

    Returns:
        The ledger.

    Raises:
        ValueError: When the folder holds results of another model or other options.
    """
    files = {"model": Stamp.of(experiment.weights), "config": Stamp.of(experiment.config)}
    ledger = Ledger(args.out, {**files, **options})
    if not args.overwrite:
        ledger.check_settings()
    return ledger


def report(
    parser: argparse.ArgumentParser, failures: Mapping[Job, str], *, total: int, where: Path, table_fault: str = ""
) -> None:
    """Say how many files succeeded and what went wrong with the others.

    Args:
        parser: For the program's name.
        failures: The files that failed, and why.
        total: Files in all.
        where: The results.
        table_fault: Why the table of all results could not be written, if it could not.

    Raises:
        SystemExit: With code 1 when a file or the table failed.
    """
    for failure in (*failures.values(), *filter(None, [table_fault])):
        print(f"{parser.prog}: error: {failure}", file=sys.stderr)
    if not table_fault:
        print(f"{total - len(failures)} of {total} files are in {where}")
    if failures or table_fault:
        raise SystemExit(1)
