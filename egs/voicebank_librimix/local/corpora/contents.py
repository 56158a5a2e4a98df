"""What the files of a user's own hold, so that others in their place are noticed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from espnet_plugins.contents import sha256_of
from local.common.output import atomic_path
from local.common.progress import Bar

# Where a corpus notes them, in its folder of stage 1.
KEPT = ".contents.json"


def contents_of(files: Mapping[str, Path], *, kept: Path, nj: int = 1) -> dict[str, str | None]:
    """Identify files by what they hold, wherever they lie.

    A file is read once, and again when its size or its time of change is another.

    Args:
        files: Name -> file.
        kept: Where the digests are noted, with size and time of change; made, if need be.
        nj: Files read at once.

    Returns:
        Name -> digest; None for a file that cannot be read: whoever needs it says so.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "a.wav").write_bytes(b"one")
        >>> before = contents_of({"a": folder / "a.wav"}, kept=folder / ".contents.json")
        >>> _ = (folder / "a.wav").write_bytes(b"two")
        >>> contents_of({"a": folder / "a.wav"}, kept=folder / ".contents.json") == before
        False
    """
    known = _noted(kept)
    places = {name: str(path.absolute()) for name, path in files.items()}
    stamps = {place: _stamp(Path(place)) for place in places.values()}
    unread = [place for place, stamp in stamps.items() if stamp and known.get(place, {}).get("stamp") != stamp]
    if unread:
        with ThreadPoolExecutor(nj) as pool:
            progress = Bar(pool.map(_digest, unread), total=len(unread), desc="what files hold", unit="file")
            digests = dict(zip(unread, progress, strict=True))
        known |= {place: {"stamp": stamps[place], "sha256": digests[place]} for place in unread if digests[place]}
        kept.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(kept) as tmp:
            tmp.write_text(json.dumps(known, indent=0))
    return {
        name: known[place]["sha256"] if stamps[place] and place in known else None for name, place in places.items()
    }


def _stamp(path: Path) -> list[int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns] if path.is_file() else None


def _digest(place: str) -> str | None:
    try:
        return sha256_of(place)
    except OSError:
        return None


def _noted(kept: Path) -> dict[str, dict[str, Any]]:
    """What was noted; nothing where the note is damaged, so that all is read again."""
    try:
        known = json.loads(kept.read_text(encoding="utf-8"))
        return {place: {"stamp": note["stamp"], "sha256": str(note["sha256"])} for place, note in known.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
