"""Modules of the user, imported by name in every process of a training: they register what this package lacks.

`announce()` tells the programs started from here; whatever trains, decodes or applies models imports what it told
(`espnet_plugins.register`). A model's files never name a module that is imported: who applies a model decides.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

# Environment variables: modules, separated by commas, and the folders that hold them, separated as in PATH.
MODULES = "ESPNET_PLUGINS_IMPORT"
FOLDERS = "ESPNET_PLUGINS_IMPORT_FROM"


def import_modules(names: Sequence[str], *, folders: Sequence[str] = ()) -> None:
    """Import modules; what they register is known from then on.

    Args:
        names: Modules, as in an import statement.
        folders: Where to look beside the usual places, after these.

    Raises:
        ImportError: Naming the module, the reason and where it was looked for.

    Example:
        >>> import_modules(["no_such_module"], folders=["/here"])
        Traceback (most recent call last):
        ImportError: module 'no_such_module' cannot be imported: No module named 'no_such_module' (looked for on \
PYTHONPATH and in /here)
    """
    sys.path += [folder for folder in folders if folder not in sys.path]
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            places = f"PYTHONPATH and in {', '.join(folders)}" if folders else "PYTHONPATH"
            reason = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
            raise ImportError(f"module '{name}' cannot be imported: {reason} (looked for on {places})") from error


def announce(names: Sequence[str], *, folders: Sequence[str] = ()) -> None:
    """Let the programs that are started from this one import modules, too.

    Args:
        names: As of import_modules().
        folders: As of import_modules().
    """
    for variable, separator, values in ((MODULES, ",", names), (FOLDERS, os.pathsep, folders)):
        known = [value for value in os.environ.get(variable, "").split(separator) if value]
        if joined := separator.join(dict.fromkeys([*known, *values])):
            os.environ[variable] = joined


def import_announced() -> None:
    """Import what announce() told, here or in the program that started this one.

    Raises:
        ImportError: As of import_modules().
    """
    names = [name for name in os.environ.get(MODULES, "").split(",") if name]
    folders = [folder for folder in os.environ.get(FOLDERS, "").split(os.pathsep) if folder]
    import_modules(names, folders=folders)
