"""Whether convolutions on the CPU go through oneDNN, which compiles kernels for every shape it meets."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from espnet2.tasks.abs_task import AbsTask
from espnet2.utils.types import str2bool


@contextmanager
def onednn(enabled: bool) -> Iterator[None]:
    """Use oneDNN on the CPU, or PyTorch's own kernels.

    Utterances are all of different lengths. With models small enough, compiling kernels for each length takes
    longer than running them.

    Args:
        enabled: Use oneDNN.

    Example:
        >>> with onednn(False):
        ...     torch.backends.mkldnn.enabled
        False
    """
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = enabled  # type: ignore[assignment]  # a property of the module
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before


class OneDNNOption(AbsTask):
    """A task with the option `onednn`."""

    @classmethod
    def get_parser(cls) -> argparse.ArgumentParser:
        """Add the option to ESPnet's."""
        parser = super().get_parser()
        parser.add_argument(
            "--onednn",
            type=str2bool,
            default=True,
            help="use oneDNN on the CPU; without it, small models train faster on batches of ever new lengths",
        )
        return parser

    @classmethod
    def main_worker(cls, args: argparse.Namespace) -> None:
        """Train with or without oneDNN."""
        with onednn(args.onednn):
            super().main_worker(args)
