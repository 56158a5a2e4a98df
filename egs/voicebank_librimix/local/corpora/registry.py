"""The registry of corpora, conf/corpora.yaml: archives, sizes, checksums, licenses, what is complete."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from espnet_plugins.checks import renamed_keys
from local.common.errors import OptionError
from local.common.recipe import RECIPE_DIR, read_yaml


@dataclasses.dataclass(frozen=True)
class Archive:
    """A file to download.

    Args:
        name: Its name on disk.
        urls: Full addresses, tried in order.
        size: In bytes, or None where it is not known exactly.
        about: An estimate of the size in bytes.
        unpacked: An estimate of what it unpacks to, in bytes.
        checksum: `md5:...` or `sha256:...`, or None.
        into: Folder below the corpus's that it is unpacked into.
        take: Only what lies below this path of the archive is unpacked.
        only: Only files of this name are unpacked, where it is not empty.
        provides: Paths below the corpus's folder that it unpacks to.
        parts: The parts of the corpus it belongs to; empty: all.
    """

    name: str
    urls: tuple[str, ...]
    size: int | None
    about: int
    unpacked: int
    checksum: str | None
    into: str
    take: str
    only: str
    provides: tuple[str, ...]
    parts: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Entry:
    """A corpus: its title, homepage, license, archives, and the registry's facts for checking it."""

    name: str
    title: str
    homepage: str
    license: str
    archives: tuple[Archive, ...]
    facts: Mapping[str, Any]

    def needed(self, parts: Iterable[str]) -> list[Archive]:
        """The archives that some parts of the corpus lie in.

        Raises:
            OptionError: For a part that no archive has, where archives are divided into parts.
        """
        parts = set(parts)
        known = {part for archive in self.archives for part in archive.parts}
        if known and (unknown := sorted(parts - known)):
            raise OptionError(f"{self.title} has no part '{unknown[0]}': choose from {', '.join(sorted(known))}")
        return [archive for archive in self.archives if not archive.parts or parts & set(archive.parts)]


def _archive(corpus: str, entry: Mapping[str, Any]) -> Archive:
    try:
        file = entry.get("file", entry["name"])
        return Archive(
            name=entry["name"],
            urls=tuple(f"{url.rstrip('/')}/{file}" for url in entry["urls"]),
            size=entry.get("bytes"),
            about=entry.get("bytes", entry.get("about")),
            unpacked=entry["unpacked"],
            checksum=entry.get("checksum"),
            into=entry.get("into", ""),
            take=entry.get("take", ""),
            only=entry.get("only", ""),
            provides=tuple(entry["provides"]),
            parts=tuple(entry.get("parts", ())),
        )
    except KeyError as error:
        raise OptionError(f"registry of corpora: an archive of '{corpus}' lacks {error}") from None


def load_registry(override: str | Path | None = None) -> dict[str, Entry]:
    """Read conf/corpora.yaml.

    Args:
        override: A file of the same form; what it says of a corpus (its archives, for one) replaces what
            stands there.

    Returns:
        Entries by the corpus's name.

    Example:
        >>> load_registry()["voicebank_demand"].license
        'CC BY 4.0'
    """
    content = read_yaml(RECIPE_DIR / "conf" / "corpora.yaml")
    if override is not None:
        for name, entry in read_yaml(Path(override)).items():
            entry = renamed_keys(f"{override}: {name}", entry, {"licence": "license"})
            content[name] = {**content.get(name, {}), **entry}
    return {
        name: Entry(
            name=name,
            title=entry["title"],
            homepage=entry["homepage"],
            license=entry["license"],
            archives=tuple(_archive(name, archive) for archive in entry["archives"]),
            facts={k: v for k, v in entry.items() if k != "archives"},
        )
        for name, entry in content.items()
    }
