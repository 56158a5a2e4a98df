"""Make a corpus be there: find what is missing, download it, unpack it, see that it is complete."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Collection
from pathlib import Path

from local.common.errors import OptionError, RecipeError
from local.common.output import atomic_path, log
from local.corpora.download import archive_fault, check_space, fetch_all, human
from local.corpora.registry import Archive, Entry
from local.corpora.unpack import unpack

_PARALLEL = 4
_ACCEPTED = ".licences_accepted"


@dataclasses.dataclass(frozen=True)
class Location:
    """Where a corpus is looked for, and where it is put.

    Args:
        shared: Its folder below --downloads, or what the site says in db.sh.
        own: The folder that is used when `shared` is incomplete and cannot be written.
        archives: Where its archives are looked for and downloaded to.
        fixed: Whether `shared` is the site's: then nothing is downloaded.
    """

    shared: Path
    own: Path
    archives: Path
    fixed: bool

    @property
    def folder(self) -> Path:
        """The folder to read the corpus from."""
        return self.own if self.own.exists() else self.shared


def _writable(folder: Path) -> bool:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return os.access(existing, os.W_OK)


def missing_archives(entry: Entry, folder: Path, parts: Collection[str]) -> list[Archive]:
    """The archives whose contents are not in a corpus's folder."""
    needed = entry.needed(parts) if parts else list(entry.archives)
    return [a for a in needed if not all(_is_there(folder, a, path) for path in a.provides)]


def _is_there(folder: Path, archive: Archive, path: str) -> bool:
    """Whether something is where it is unpacked to, or where it lies when all archives are unpacked in one place."""
    beside = Path(path).relative_to(archive.into) if archive.into else Path(path)
    return (folder / path).exists() or (folder / beside).exists()


def local_archive(archive: Archive, location: Location) -> Path | None:
    """An archive that somebody has downloaded already."""
    candidates = (
        location.archives / archive.name,
        location.shared / archive.name,
        location.shared.parent / archive.name,
    )
    return next((path for path in candidates if path.is_file()), None)


def accept_license(entry: Entry, folder: Path, *, accepted: bool) -> None:
    """Have the user accept a corpus's license, once per folder.

    Args:
        entry: The corpus.
        folder: Where it is downloaded to; remembers what was accepted.
        accepted: Whether --accept_licenses was given.

    Raises:
        OptionError: When it is not accepted, or nobody is there to ask.
    """
    record, line = folder / _ACCEPTED, f"{entry.name}: {entry.license}"
    known = record.read_text().splitlines() if record.exists() else []
    if line in known:
        return
    print(f"{entry.title} is under the license {entry.license} (see {entry.homepage}).", flush=True)
    if not accepted:
        if not sys.stdin.isatty():
            raise OptionError(f"the license of {entry.name}, {entry.license}, must be accepted: --accept_licenses true")
        if input("Accept it and download? [y/N] ").strip().lower() not in ("y", "yes"):
            raise OptionError(f"the license of {entry.name} was not accepted; nothing is downloaded")
    with atomic_path(record) as tmp:
        tmp.write_text("".join(f"{text}\n" for text in [*known, line]))


def _target(entry: Entry, location: Location, parts: Collection[str]) -> Path:
    """The folder to put what is missing into; one that cannot be written is linked from one that can."""
    if location.own.exists() or _writable(location.shared):
        return location.folder
    log(f"{entry.name}: {location.shared} cannot be written, what is missing goes to {location.own}")
    for archive in entry.needed(parts) if parts else entry.archives:
        for path in archive.provides:
            if (location.shared / path).exists():
                (location.own / path).parent.mkdir(parents=True, exist_ok=True)
                (location.own / path).symlink_to(location.shared / path)
    return location.own


def acquire(entry: Entry, location: Location, parts: Collection[str], *, accepted: bool) -> Path:
    """Download and unpack what is missing of a corpus.

    Args:
        entry: What the registry says.
        location: Where it is, or goes.
        parts: The parts that are needed; none means all.
        accepted: Whether --accept_licenses was given.

    Returns:
        The corpus's folder.

    Raises:
        RecipeError: When something cannot be had, or the site's own folder is incomplete.
    """
    missing = missing_archives(entry, location.folder, parts)
    if not missing:
        return location.folder
    if location.fixed:
        lacking = ", ".join(path for a in missing for path in a.provides)
        raise RecipeError(f"{location.shared}, set for {entry.name.upper()} in db.sh, lacks {lacking}")
    target = _target(entry, location, parts)
    missing = missing_archives(entry, target, parts)
    there = {a.name: path for a in missing if (path := local_archive(a, location))}
    for archive in missing:
        if archive.name in there and (fault := archive_fault(there[archive.name], archive)):
            raise RecipeError(f"{there[archive.name]} is damaged: {fault}. Remove it and run again")
    wanted = [a for a in missing if a.name not in there]
    archives = location.archives if _writable(location.archives) else target.parent
    if wanted:
        accept_license(entry, archives, accepted=accepted)
        size = sum(a.about for a in wanted)
        log(f"{entry.name}: downloading {len(wanted)} archives, about {human(size)}")
    check_space(target, sum(a.about for a in wanted) + sum(a.unpacked for a in missing), what=entry.name)
    fetched = dict(zip((a.name for a in wanted), fetch_all(wanted, archives, parallel=_PARALLEL), strict=True))
    for archive in missing:
        unpack(
            fetched.get(archive.name) or there[archive.name],
            target / archive.into,
            take=archive.take,
            only=archive.only,
        )
        if absent := [path for path in archive.provides if not (target / path).exists()]:
            raise RecipeError(f"{archive.name} was unpacked into {target}, but {absent[0]} is not there")
        # What was downloaded here is not needed any more; what the user had stays.
        if archive.name in fetched:
            fetched[archive.name].unlink()
    return target
