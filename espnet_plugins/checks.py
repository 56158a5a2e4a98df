"""Checks of options that come from YAML: errors name the key and what it accepts."""

from __future__ import annotations

import inspect
import logging
import math
import warnings
from collections.abc import Collection, Iterable, Mapping
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


def renamed_keys(owner: str, options: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Give options under the names of now, with one line of warning for each older one.

    Args:
        owner: What the options belong to, for the message.
        options: As they were written.
        names: Older name -> name of now.

    Returns:
        The options; where both names are given, the unknown key is left for check_keys().

    Example:
        >>> renamed_keys("mimic", {"recogniser": 1, "output": 2}, {"recogniser": "recognizer"})
        {'recognizer': 1, 'output': 2}
    """
    given = {}
    for key, value in options.items():
        name = names.get(key, key)
        if name != key and name not in options:
            logging.warning(f"{owner}: {key} is now called {name}; the older name goes with the next release")
            key = name
        given[key] = value
    return given


def renamed_attribute(owner: object, old: str, new: str) -> Any:
    """Give what an attribute of an older name gives, with one warning for each place that asks.

    Args:
        owner: What has the attribute.
        old: Its older name.
        new: Its name.

    Returns:
        The attribute.
    """
    text = f"{type(owner).__name__}.{old} is now called {new}; the older name goes with the next release"
    warnings.warn(text, DeprecationWarning, stacklevel=3)
    return getattr(owner, new)


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


def check_conf(key: str, conf: Any, cls: type | None, *, taken: Collection[str] = ()) -> dict[str, Any]:
    """Check the options of a class against its constructor.

    Args:
        key: What the options are called in the YAML.
        conf: A mapping; None is an empty one.
        cls: The class; one that takes any keyword checks its options itself.
        taken: Arguments that are not options.

    Returns:
        The options.

    Raises:
        ValueError: For an unknown key, naming the accepted ones.
    """
    parameters = {} if cls is None else dict(inspect.signature(cls).parameters)
    for name in taken:
        parameters.pop(name, None)
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        if conf is not None and not isinstance(conf, Mapping):
            raise ValueError(f"{key}: {conf!r} must be a mapping")
        return dict(conf or {})
    return check_mapping(key, conf, parameters)


def check_classes(
    choices: Iterable[Any],
    settings: Any,
    *,
    taken: Collection[str] = (),
    kept: Mapping[str, Collection[str]] | None = None,
) -> None:
    """Check the options of every class that a configuration chooses from ESPnet's tables.

    Args:
        choices: ESPnet's tables of classes.
        settings: Holds `NAME` and `NAME_conf` for each table's name.
        taken: Arguments that are not options.
        kept: By a table's name, those of them that are options of its classes all the same.

    Raises:
        ValueError: For an unknown key, naming the accepted ones.
    """
    for choice in choices:
        name = getattr(settings, choice.name, None)
        if name in choice.classes:
            conf = getattr(settings, f"{choice.name}_conf", None)
            given = set(taken) - set((kept or {}).get(choice.name, ()))
            check_conf(f"{choice.name}: {name}: {choice.name}_conf", conf, choice.get_class(name), taken=given)
