"""A module seen as one of another class: how a part that ESPnet has built gets another way to be called."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar, cast

import torch

Kind = TypeVar("Kind", bound=torch.nn.Module)


def recast(module: torch.nn.Module, kind: type[Kind], **attributes: Any) -> Kind:
    """Give a module as one of a class that extends its own.

    Parameters, buffers, submodules and hooks are the same objects under the same names, so that checkpoints fit and an
    optimizer may have been built from either; the module that is given stays of its class.

    Args:
        module: Any.
        kind: A class derived from the module's.
        attributes: Set on the result.

    Returns:
        The module of that class.

    Raises:
        TypeError: For a class that does not extend the module's.

    Example:
        >>> class Doubled(torch.nn.Linear):
        ...     def forward(self, x):
        ...         return 2 * super().forward(x)
        >>> linear = torch.nn.Linear(1, 1)
        >>> doubled = recast(linear, Doubled)
        >>> bool(doubled(torch.ones(1)) == 2 * linear(torch.ones(1))), doubled.weight is linear.weight
        (True, True)
    """
    if not issubclass(kind, type(module)):
        raise TypeError(f"{kind.__name__} does not extend {type(module).__name__}")
    result = kind.__new__(kind)
    # Tables of parameters, submodules and hooks of its own: what is replaced in the one stays in the other.
    state = {name: value.copy() if isinstance(value, (dict, set)) else value for name, value in vars(module).items()}
    vars(result).update(state)
    for name, value in attributes.items():
        setattr(result, name, value)
    return result


def extend(kind: type[torch.nn.Module], mixin: type) -> type[torch.nn.Module]:
    """A class that puts another one's methods before those of a module's class, under the latter's name.

    Args:
        kind: The module's class.
        mixin: The class whose methods come first.

    Returns:
        The class; the same one for the same arguments.
    """
    # A class is hashable; to mypy, a module's is not.
    return _extended(cast(type, kind), mixin)


@cache
def _extended(kind: type, mixin: type) -> type[torch.nn.Module]:
    return cast("type[torch.nn.Module]", type(kind.__name__, (mixin, kind), {}))
