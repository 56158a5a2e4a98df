"""Checks of options that come from YAML: errors name the key and what it accepts."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any


def check_keys(owner: str, given: Collection[str], accepted: Collection[str]) -> None:
    """Raise where a key is unknown.

    Args:
        owner: what the keys belong to, for the message.
        given: the keys.
        accepted: the keys there are.

    Raises:
        ValueError: naming the unknown and the accepted keys.

    Example:
        >>> check_keys("ssl_mse", ["layr"], ["layer", "name"])
        Traceback (most recent call last):
        ValueError: ssl_mse: unknown key layr; accepted keys are layer, name
    """
    if unknown := sorted(set(given) - set(accepted)):
        raise ValueError(f"{owner}: unknown key {', '.join(unknown)}; accepted keys are {', '.join(sorted(accepted))}")


def check_mapping(owner: str, value: Any, accepted: Collection[str]) -> dict[str, Any]:
    """Give a nested option as a dictionary of known keys; None is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{owner}: {value!r} must be a mapping with keys {', '.join(sorted(accepted))}")
    check_keys(owner, value, accepted)
    return dict(value)


def check_number(key: str, value: Any, *, low: float = -math.inf, high: float = math.inf, above: bool = False) -> float:
    """Give a number of an interval: ``low`` to ``high``, without ``low`` itself where ``above``."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not low <= value <= high or (above and value == low):
        lower = "any number" if low == -math.inf else f"a number {'above' if above else 'from'} {low:g}"
        upper = "" if high == math.inf else f" to {high:g}"
        raise ValueError(f"{key}: {value!r} is not accepted; give {lower}{upper}")
    return float(value)


def check_choice(key: str, value: Any, accepted: Collection[Any]) -> Any:
    """Give one of ``accepted``."""
    if not any(value is choice or (type(value) is type(choice) and value == choice) for choice in accepted):
        raise ValueError(f"{key}: {value!r} is not accepted; give one of {', '.join(map(repr, accepted))}")
    return value
