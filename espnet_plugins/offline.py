"""Importing ESPnet reaches for no network.

ESPnet imports g2p_en, whose import asks NLTK to fetch two data sets where they are not on the disk: two addresses in
every process, minutes behind a firewall that drops packets. Only phonemes by g2p_en need them; without the data, making
such a tokenizer says which to fetch.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

_ASKS = "g2p_en.g2p"


class _Finder(MetaPathFinder):
    """Finds some modules as python does, and has them imported within a context."""

    def __init__(self, names: Collection[str], context: Callable[[], AbstractContextManager[Any]]) -> None:
        self.names, self._context = frozenset(names), context

    def find_spec(self, fullname, path=None, target=None) -> ModuleSpec | None:
        if fullname not in self.names:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = partial(self._import, spec.loader.exec_module)  # type: ignore[method-assign]
        return spec

    def _import(self, exec_module, module) -> None:
        with self._context():
            exec_module(module)


def import_within(names: Collection[str], context: Callable[[], AbstractContextManager[Any]]) -> None:
    """Have modules imported, from now on, within a context; calling it again changes nothing.

    Args:
        names: The modules.
        context: Makes the context, of each module anew.

    Example:
        >>> import_within(["no_such_module"], contextlib.nullcontext)
    """
    known = {name for finder in sys.meta_path if isinstance(finder, _Finder) for name in finder.names}
    if not known.issuperset(names):
        sys.meta_path.insert(0, _Finder(names, context))


@contextlib.contextmanager
def _without_downloads() -> Iterator[None]:
    import nltk

    download, nltk.download = nltk.download, lambda *names, **options: False
    try:
        yield
    finally:
        nltk.download = download


def import_without_network() -> None:
    """See to it that importing ESPnet, from now on, fetches nothing; calling it again changes nothing.

    Example:
        >>> import_without_network()
    """
    import_within([_ASKS], _without_downloads)
