"""Options that name a GPU, checked before a model is read: --device and ESPnet's --ngpu."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch


def _absence() -> str:
    """Why there is no GPU, in the words of an error; empty where there is one."""
    if torch.cuda.is_available():
        return ""
    return "no GPU here" if torch.version.cuda or torch.version.hip else "this torch is built without CUDA"


def check_device(name: str) -> None:
    """Refuse a device on which nothing can be computed here.

    Args:
        name: The value of --device.

    Raises:
        ValueError: Naming the option and the remedy.

    Example:
        >>> check_device("cpu")
        >>> check_device("gpu")
        Traceback (most recent call last):
        ValueError: --device gpu: no device of torch; give cpu or cuda
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"--device {name}: no device of torch; give cpu or cuda") from None
    if device.type == "cuda" and (absence := _absence()):
        raise ValueError(f"--device {name}: {absence}; use --device cpu")
    try:
        # There and back: not every device that torch knows computes.
        torch.zeros(1, device=device).cpu()
    # Torch's errors are of several kinds here.
    except Exception as error:
        reason = " ".join(str(error).split()).partition(". ")[0]
        raise ValueError(f"--device {name}: {reason}; use --device cpu") from error


def check_ngpu(parser: argparse.ArgumentParser, cmd: Sequence[str] | None, *, program: str) -> None:
    """End one of ESPnet's programs with one line where it is to compute on a GPU and there is none.

    Args:
        parser: ESPnet's.
        cmd: The command line; None for that of the process.
        program: Name of the module, for the message.

    Raises:
        SystemExit: With code 1.
    """
    ngpu = parser.parse_known_args(cmd)[0].ngpu
    if ngpu > 0 and (absence := _absence()):
        parser.exit(1, f"python -m espnet_plugins.bin.{program}: error: --ngpu {ngpu}: {absence}; use --ngpu 0\n")
