"""What a preset says about its sets: which are used, and what they are taken from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.common.errors import OptionError

# The two sets that training reads are put together from others.
COMBINED = ("train", "dev")


def sets_in_use(preset: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The sets that train, dev or test name.

    Args:
        preset: The settings.

    Returns:
        The entries of `sets` by name, in their order, without what is null: a preset that extends another
        takes settings away so.

    Raises:
        OptionError: When a role names no set or one that does not exist, or a set's name is taken.

    Example:
        >>> sets = {"a": {"corpus": "x"}, "b": {"corpus": "x"}}
        >>> sets_in_use({"sets": sets, "train": ["a"], "dev": ["a"], "test": ["a"]})
        {'a': {'corpus': 'x'}}
    """
    sets = {name: spec for name, spec in preset["sets"].items() if spec is not None}
    for name in (*COMBINED, "tokens", "corpora"):
        if name in sets:
            raise OptionError(f"a set cannot be called '{name}': that name is taken")
    used = set()
    for role in (*COMBINED, "test"):
        for name in preset[role]:
            if name not in sets:
                raise OptionError(f"`{role}` names the set '{name}', which is not among: {', '.join(sets)}")
            used.add(name)
        if not preset[role]:
            raise OptionError(f"the preset names no set for `{role}`")
    return {
        name: {key: value for key, value in spec.items() if value is not None}
        for name, spec in sets.items()
        if name in used
    }
