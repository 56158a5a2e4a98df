"""Checks of the criteria in a configuration, before anything is built from them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from espnet2.tasks import enh

from espnet_plugins.checks import check_conf, check_mapping
from espnet_plugins.extensions import MODULES

_KEYS = ("name", "conf", "wrapper", "wrapper_conf")


def check_criteria(key: str, entries: Any) -> list[dict[str, Any]] | None:
    """Check a list of criteria; ESPnet's own messages name neither key nor accepted values.

    Args:
        key: What the list is called in the YAML.
        entries: Mappings of name, conf, wrapper and wrapper_conf; None for no criteria.

    Returns:
        The entries with `conf` and `wrapper_conf` filled in.

    Raises:
        ValueError: For an unknown criterion, wrapper or key, naming the accepted ones.

    Example:
        >>> check_criteria("criterions", [{"name": "si_snr", "wrapper": "fixed_order"}])
        [{'name': 'si_snr', 'conf': {}, 'wrapper': 'fixed_order', 'wrapper_conf': {}}]
        >>> check_criteria("criterions", [{"name": "si_snr", "loss": "pit"}])
        Traceback (most recent call last):
        ValueError: criterions: entry: unknown key loss; accepted keys are conf, name, wrapper, wrapper_conf
    """
    if entries is None:
        return None
    if not isinstance(entries, (list, tuple)):
        raise ValueError(f"{key}: {entries!r} must be a list of mappings with keys {', '.join(_KEYS)}")
    return [_check_entry(key, entry) for entry in entries]


def _check_entry(key: str, entry: Any) -> dict[str, Any]:
    given = check_mapping(f"{key}: entry", entry, _KEYS)
    name = _check_name(f"{key}: name", given.get("name"), enh.criterion_choices.classes)
    wrapper = _check_name(f"{key}: {name}: wrapper", given.get("wrapper"), enh.loss_wrapper_choices.classes)
    return {
        "name": name,
        "conf": check_conf(f"{key}: {name}: conf", given.get("conf"), enh.criterion_choices.get_class(name)),
        "wrapper": wrapper,
        "wrapper_conf": check_conf(
            f"{key}: {name}: wrapper_conf",
            given.get("wrapper_conf"),
            enh.loss_wrapper_choices.get_class(wrapper),
            taken=("criterion",),
        ),
    }


def _check_name(key: str, name: Any, accepted: Collection[str]) -> str:
    if not isinstance(name, str) or name not in accepted:
        raise ValueError(
            f"{key}: {name!r} is not accepted; give one of {', '.join(sorted(accepted))} (a module of your own that "
            f"registers another is named in the environment variable {MODULES})"
        )
    return name
