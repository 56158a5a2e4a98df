"""Programs: `python -m espnet_plugins.bin.NAME`. Where a package is not installed, one line says which, and the remedy.

Python imports this file before the program; a process that only uses a program as a module is left as it is.
"""

import sys
from importlib.util import find_spec
from types import TracebackType


def _name_missing_package(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """As sys.excepthook: one line for a package that the program, still importing, does not find."""
    program = sys.modules["__main__"]
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if hasattr(program, "main") or package in ("", "espnet_plugins") or find_spec(package) is not None:
        sys.__excepthook__(kind, error, traceback)
        return
    name = getattr(program.__spec__, "name", "espnet_plugins.bin")
    print(
        f"python -m {name}: error: the package {package} is not installed for {sys.executable}: use .venv/bin/python "
        "of the repository, which tools/setup.sh makes, or, in the repository, pip install -e '.[recipe]'",
        file=sys.stderr,
    )


# What python calls itself while it looks for the module of -m.
if sys.argv[:1] == ["-m"]:
    sys.excepthook = _name_missing_package
