"""What a preset may say: its keys, and what each holds. A key that is misspelled would say nothing, in silence."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from local.common.errors import OptionError

_NUMBER, _TEXT, _NAMES, _MAPPING = "a whole number from 0 on", "a text", "a list of names", "a mapping"
# Key -> what it holds; "or null" where a preset that extends another may take it away.
_KEYS = {
    "seed": _NUMBER,
    **dict.fromkeys(("quality_utterances", "listened_utterances"), f"{_NUMBER}, or all"),
    **dict.fromkeys(("front_end", "lexicon"), _TEXT),
    **dict.fromkeys(
        ("front_end_weights", "registry", "model_license", "note", "development_judge"), f"{_TEXT} or null"
    ),
    **dict.fromkeys(("train", "dev", "test", "heads", "conf_dirs", "import", "import_from"), _NAMES),
    **dict.fromkeys(("sets", "corpora", "config"), f"{_MAPPING} of mappings"),
    **dict.fromkeys(("ssl", "runs", "threads"), _MAPPING),
    **dict.fromkeys(("limits", "estimate", "judges"), f"{_MAPPING} or null"),
    "layers": "a list of whole numbers or null",
    "vocabulary": f"{_NUMBER}, or characters",
    "dnsmos": "true, false or a folder",
    "distillmos": "true or false",
}
# Without these no stage knows what to do; `extends: mini` gives all of them.
_NEEDED = (
    *("seed", "sets", "train", "dev", "test", "front_end", "front_end_weights", "ssl", "heads", "lexicon", "runs"),
    *("threads", "vocabulary", "quality_utterances", "dnsmos", "distillmos", "listened_utterances"),
)
_NEEDED_INNER = {"runs": ("objectives", "finetune", "seeds"), "threads": ("single", "array")}
_INNER = {
    "runs": ("objectives", "finetune", "seeds", "more_seeds"),
    "threads": ("single", "array"),
    "limits": ("min_seconds", "max_seconds"),
    "estimate": ("utterance_seconds", "speed"),
}


def check_preset(name: str, preset: Mapping[str, Any], *, configurations: Collection[str]) -> None:
    """Refuse a key that no stage reads, and a value of another kind than it should have.

    Args:
        name: The preset's.
        preset: Its settings, with those of what it extends.
        configurations: Names of files below conf/, over which `config` may say something.

    Raises:
        OptionError: For the first fault, naming the preset and the key.

    Example:
        >>> check_preset("own", {"trian": ["a"]}, configurations=[])
        Traceback (most recent call last):
        local.common.errors.OptionError: preset 'own': unknown key 'trian': did you mean 'train'?
    """
    where = f"preset '{name}'"
    _known(where, preset, _KEYS)
    lacking = [key for key in _NEEDED if key not in preset]
    lacking += [
        f"{key}: {name}" for key, names in _NEEDED_INNER.items() for name in names if name not in _of(preset, key)
    ]
    if lacking:
        raise OptionError(f"{where} lacks '{lacking[0]}': give it, or say `extends: mini`")
    for key, kind in _KEYS.items():
        if key in preset and not _is(preset[key], kind):
            raise OptionError(f"{where}: {key}: {preset[key]!r} is not accepted; give {kind}")
    for key, keys in _INNER.items():
        _known(f"{where}: {key}", _of(preset, key), keys)
    _known(f"{where}: config", _of(preset, "config"), configurations)
    for key, value in _of(preset, "threads").items():
        if not _is(value, _NUMBER) or value < 1:
            raise OptionError(f"{where}: threads: {key}: {value!r} is not accepted; give a whole number from 1 on")
    for key, value in _of(preset, "limits").items():
        if not _is_number(value) or not value >= 0:
            raise OptionError(f"{where}: limits: {key}: {value!r} is not accepted; give seconds from 0 on")
    estimate = _of(preset, "estimate")
    seconds = estimate.get("utterance_seconds", 1)
    if not _is_number(seconds) or not 0 < seconds < float("inf"):
        raise OptionError(f"{where}: estimate: utterance_seconds: {seconds!r} is not accepted; give seconds above 0")
    if not _is(estimate.get("speed", {}), _MAPPING):
        raise OptionError(f"{where}: estimate: speed: {estimate['speed']!r} is not accepted; give {_MAPPING}")
    for key in ("objectives", "finetune", "seeds"):
        value = _of(preset, "runs").get(key, "")
        if not isinstance(value, str) and not (key == "seeds" and _is(value, _NUMBER)):
            raise OptionError(f"{where}: runs: {key}: {value!r} is not accepted; give words with blanks between them")


def _of(preset: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = preset.get(key)
    return value if isinstance(value, Mapping) else {}


def _known(where: str, given: Mapping[Any, Any], known: Collection[str]) -> None:
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            advice = f"did you mean '{near[0]}'?" if near else f"choose from {', '.join(sorted(known))}"
            raise OptionError(f"{where}: unknown key '{key}': {advice}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is(value: Any, kind: str) -> bool:
    """Whether a value is what a kind says, in its words."""
    if value is None:
        return kind.endswith("or null")
    whole = isinstance(value, int) and not isinstance(value, bool)
    if kind.startswith(_NUMBER):
        return (whole and value >= 0) or (isinstance(value, str) and kind == f"{_NUMBER}, or {value}")
    if kind.startswith(_TEXT):
        return isinstance(value, str)
    if kind == _NAMES:
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    if kind.startswith("a list"):
        return isinstance(value, list) and all(isinstance(each, int) and not isinstance(each, bool) for each in value)
    if kind.startswith(_MAPPING):
        inner = kind.endswith("of mappings")
        return isinstance(value, dict) and (not inner or all(isinstance(v, (dict, type(None))) for v in value.values()))
    return isinstance(value, bool) or (kind.endswith("a folder") and isinstance(value, str))
