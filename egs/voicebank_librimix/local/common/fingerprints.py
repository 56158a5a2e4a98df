"""What identifies the inputs and the settings of a step, and how two of them differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.common.errors import RecipeError

# Files up to this size are compared by content, larger ones by size and time of change.
_HASHED_BYTES = 64 * 2**20


def digest_of(value: Any) -> str:
    """What identifies settings: 16 characters that are the same for equal values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def fingerprint_of(path: Path) -> str:
    """The fingerprint of an input: for a step's `.done` what it says of the step, else the file's content."""
    try:
        if path.name.endswith(".done"):
            record = read_record(path)
            if record is None:
                raise RecipeError(f"{path} is damaged: remove it and run its stage again")
            return record.get("content", record["fingerprint"])
        stat = path.stat()
        if path.is_dir() or stat.st_size > _HASHED_BYTES:
            return digest_of([stat.st_size, stat.st_mtime_ns])
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        # A read that fails names no file by itself.
        raise RecipeError(f"cannot read {path}: {error.strerror or error}") from error


def read_record(path: Path) -> dict[str, Any] | None:
    """What a step has left of itself; None where that is no such record."""
    try:
        record = {"inputs": {}, "settings": {}, **json.loads(path.read_text(encoding="utf-8"))}
        kinds = {"fingerprint": str, "inputs": dict, "settings": dict}
        return record if record["fingerprint"] and all(isinstance(record[k], kinds[k]) for k in kinds) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Name the leaves in which two settings differ."""
    found = []
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += changes(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key}: {a} -> {b}")
    return found


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of nested settings by their dotted names."""
    leaves: dict[str, Any] = {}
    for key, value in settings.items():
        leaves.update(flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value})
    return leaves
