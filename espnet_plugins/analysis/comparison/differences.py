"""In what the configurations of a comparison differ, setting by setting."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from espnet_plugins.analysis.comparison.tables import Table
from espnet_plugins.analysis.scoring.names import label


def flatten(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Give the leaves of nested mappings and lists of mappings, each with its path.

    Example:
        >>> dict(flatten({"a": {"b": 1}, "c": [{"name": "x"}], "d": [1, 2], "e": {}}))
        {'a.b': 1, 'c.0.name': 'x', 'd': [1, 2], 'e': {}}
    """
    if isinstance(settings, Mapping) and settings:
        children = list(settings.items())
    elif isinstance(settings, list) and any(isinstance(entry, Mapping) for entry in settings):
        children = list(enumerate(settings))
    else:
        yield prefix, settings
        return
    for key, value in children:
        yield from flatten(value, f"{prefix}.{key}" if prefix else str(key))


def differing_settings(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings that two configurations do not share.

    Args:
        one: A configuration.
        other: Another one.

    Returns:
        Path of the setting -> its two values, None where a configuration does not have it.

    Example:
        >>> differing_settings({"a": {"b": 1}, "seed": 0}, {"a": {"b": 2, "c": 3}, "seed": 0})
        {'a.b': (1, 2), 'a.c': (None, 3)}
    """
    first, second = dict(flatten(one)), dict(flatten(other))
    keys = [*first, *(key for key in second if key not in first)]
    return {key: (first.get(key), second.get(key)) for key in keys if first.get(key) != second.get(key)}


def difference_table(settings: Mapping[str, Mapping[str, Any]], subject: str) -> Table:
    """In what every other configuration differs from the one that a report is about.

    Args:
        settings: Configuration -> settings of its training, seed left out.
        subject: One of the configurations.

    Returns:
        One row for each configuration and setting; a dash where a configuration lacks a setting.
    """
    rows = []
    for name, own in settings.items():
        if name == subject:
            continue
        for key, (theirs, ours) in differing_settings(own, settings[subject]).items():
            rows.append([label(name), key, _shown(theirs), _shown(ours)])
    return Table(["system", "setting", "its value", f"in {label(subject)}"], rows)


def _shown(value: Any) -> str:
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value)
