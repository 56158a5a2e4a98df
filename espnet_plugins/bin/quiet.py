"""Keeps what other people's code warns of off the console of the programs that people start themselves.

Importing it does so, in such a program alone, where neither `-W` nor PYTHONWARNINGS says otherwise: with
`python -W default -m espnet_plugins.bin.enhance ...` they are there. Trainings and decodings of the recipe, whose
output goes to logs, do not import it.
"""

import importlib
import io
import logging
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, TextIO, cast

# The module that a warning is about; for code that is being compiled, its path.
_NOT_OURS = r"(?!espnet_plugins\b|__main__\b)"


class _WithoutFlashAttention:
    """A stream that leaves out one line: what ESPnet prints where the package flash_attn is not installed.

    Args:
        stream: Where everything else goes.
    """

    def __init__(self, stream: Any):
        self._stream, self._leaving_out = stream, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or leave out; print() writes a line and its end apart."""
        if text.startswith("Failed to import Flash Attention"):
            self._leaving_out = not text.endswith("\n")
            return len(text)
        if self._leaving_out and text == "\n":
            self._leaving_out = False
            return len(text)
        return self._stream.write(text)


def hush() -> None:
    """Ignore what python warns of in modules outside this package, and what ESPnet logs or, imported, prints."""
    warnings.filterwarnings("ignore", module=_NOT_OURS)
    logging.getLogger().setLevel(logging.ERROR)
    # Up to 202511 on the first stream, from 202611 on on the second, which has errors as well.
    with redirect_stdout(io.StringIO()), redirect_stderr(cast(TextIO, _WithoutFlashAttention(sys.stderr))):
        importlib.import_module("espnet_plugins.tasks")


def _is_program() -> bool:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec is not None and spec.name.startswith(f"{__package__}.")


if _is_program() and not sys.warnoptions:
    hush()
