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
from contextlib import redirect_stdout

# The module that a warning is about; for code that is being compiled, its path.
_NOT_OURS = r"(?!espnet_plugins\b|__main__\b)"


def hush() -> None:
    """Ignore what python warns of in modules outside this package, and what ESPnet logs or, imported, prints."""
    warnings.filterwarnings("ignore", module=_NOT_OURS)
    logging.getLogger().setLevel(logging.ERROR)
    with redirect_stdout(io.StringIO()):
        importlib.import_module("espnet_plugins.tasks")


def _is_program() -> bool:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec is not None and spec.name.startswith(f"{__package__}.")


if _is_program() and not sys.warnoptions:
    hush()
