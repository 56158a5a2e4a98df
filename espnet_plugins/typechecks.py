"""ESPnet's run-time type checks are prepared when a function is first called, not when ESPnet is imported.

ESPnet decorates its functions with `typeguard.typechecked`, and so does inflect, which it imports. The decorator parses
the function's module, rewrites the function and compiles it: together more than half of the time that importing ESPnet
takes, for functions of which a program calls a few. The checks themselves are the same.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any

from espnet_plugins.imports import import_within

_PACKAGES = ("espnet", "espnet2", "inflect")


def _on_first_call(typechecked: Callable[..., Any]) -> Callable[..., Any]:
    """The decorator, at work on first call for plain functions of the packages above, as before for all else."""

    @functools.wraps(typechecked)
    def decorate(target: Any = None, **options: Any) -> Any:
        special = inspect.isgeneratorfunction(target) or inspect.iscoroutinefunction(target)
        if options or special or not inspect.isfunction(target):
            return typechecked(target, **options)
        if target.__module__.partition(".")[0] not in _PACKAGES:
            return typechecked(target)
        checked: Callable[..., Any] | None = None

        @functools.wraps(target)
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal checked
            if checked is None:
                checked = typechecked(target)
            return checked(*args, **kwargs)

        return call

    decorate.on_first_call = True  # type: ignore[attr-defined]
    return decorate


def _replace() -> None:
    import typeguard

    if not hasattr(typeguard.typechecked, "on_first_call"):
        typeguard.typechecked = _on_first_call(typeguard.typechecked)


@contextlib.contextmanager
def _replacing() -> Iterator[None]:
    yield
    _replace()


def check_types_on_first_call() -> None:
    """See to it that ESPnet, imported from now on, prepares its type checks late; calling it again changes nothing.

    Example:
        >>> check_types_on_first_call()
    """
    if "typeguard" in sys.modules:
        _replace()
    else:
        import_within(["typeguard"], _replacing)
