"""How packages of others are imported: within a context, or only when they are used."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


class _Finder(MetaPathFinder):
    """Finds some modules as python does, and changes how they are loaded."""

    def __init__(self, names: Collection[str], change: Callable[[ModuleSpec], None]) -> None:
        self.names, self._change = frozenset(names), change

    def find_spec(self, fullname, path=None, target=None) -> ModuleSpec | None:
        if fullname not in self.names:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            self._change(spec)
        return spec


def _change_import(names: Collection[str], change: Callable[[ModuleSpec], None]) -> None:
    known = {name for finder in sys.meta_path if isinstance(finder, _Finder) for name in finder.names}
    if not known.issuperset(names):
        sys.meta_path.insert(0, _Finder(names, change))


def import_within(names: Collection[str], context: Callable[[], AbstractContextManager[Any]]) -> None:
    """Have modules imported, from now on, within a context; calling it again changes nothing.

    Args:
        names: The modules.
        context: Makes the context, of each module anew.

    Example:
        >>> import contextlib
        >>> import_within(["no_such_module"], contextlib.nullcontext)
    """

    def within(exec_module: Callable[[Any], None], module: Any) -> None:
        with context():
            exec_module(module)

    def change(spec: ModuleSpec) -> None:
        assert spec.loader is not None
        spec.loader.exec_module = partial(within, spec.loader.exec_module)  # type: ignore[method-assign]

    _change_import(names, change)


def import_on_first_use(names: Collection[str]) -> None:
    """Have modules imported, from now on, when something of them is first used; calling it again changes nothing.

    Only for `import NAME`: `from NAME import ...` uses it at once. Whether it is installed shows as before.

    Args:
        names: The modules.

    Example:
        >>> import_on_first_use(["no_such_module"])
    """

    def change(spec: ModuleSpec) -> None:
        assert spec.loader is not None
        spec.loader = importlib.util.LazyLoader(spec.loader)

    _change_import(names, change)


def functions_on_first_use(names: Mapping[str, Collection[str]]) -> None:
    """Have modules executed, from now on, when a function of theirs is first called; calling it again changes nothing.

    For `from MODULE import FUNCTION`. Everything else of such a module executes it when it is asked for.

    Args:
        names: The modules with those of their functions that stand-ins may take the places of.

    Example:
        >>> functions_on_first_use({"no_such_module": ["function"]})
    """

    def change(spec: ModuleSpec) -> None:
        assert spec.loader is not None
        put = partial(_put_stand_ins, functions=names[spec.name], execute=spec.loader.exec_module)
        spec.loader.exec_module = put  # type: ignore[method-assign]

    _change_import(names, change)


def _put_stand_ins(module: ModuleType, *, functions: Collection[str], execute: Callable[[ModuleType], None]) -> None:
    lock, stand_ins = threading.RLock(), dict[str, Callable[..., Any]]()

    def executed() -> ModuleType:
        with lock:
            if "__getattr__" in vars(module):
                del module.__getattr__
                for name in stand_ins:
                    delattr(module, name)
                try:
                    execute(module)
                except BaseException:
                    # The next use tries again and says what is wrong, too.
                    vars(module).update(stand_ins, __getattr__=attribute)
                    raise
        return module

    def attribute(name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            # What python and pickle ask of any module is answered without executing it.
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        return getattr(executed(), name)

    def stand_in(name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            return getattr(executed(), name)(*args, **options)

        call.__name__ = call.__qualname__ = name
        call.__module__ = module.__name__
        return call

    stand_ins.update((name, stand_in(name)) for name in functions)
    vars(module).update(stand_ins, __getattr__=attribute)
