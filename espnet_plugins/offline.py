"""Importing ESPnet reaches for no network.

ESPnet imports g2p_en, whose import asks NLTK to fetch two data sets where they are not on the disk: two addresses in
every process, minutes behind a firewall that drops packets. Only phonemes by g2p_en need them; without the data, making
such a tokenizer says which to fetch.
"""

from __future__ import annotations

import sys
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder

_ASKS = "g2p_en.g2p"


class _Finder(MetaPathFinder):
    """Finds the one module as python does, and has it imported while NLTK fetches nothing."""

    def find_spec(self, fullname, path=None, target=None) -> ModuleSpec | None:
        if fullname != _ASKS:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = partial(_import_offline, spec.loader.exec_module)  # type: ignore[method-assign]
        return spec


def _import_offline(exec_module, module) -> None:
    import nltk

    download, nltk.download = nltk.download, lambda *names, **options: False
    try:
        exec_module(module)
    finally:
        nltk.download = download


def import_without_network() -> None:
    """See to it that importing ESPnet, from now on, fetches nothing; calling it again changes nothing.

    Example:
        >>> import_without_network()
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
