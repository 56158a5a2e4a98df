"""Downloads that survive interruptions: resumed, retried, verified, several at a time."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from local.common.errors import RecipeError
from local.common.progress import Bar
from local.corpora.registry import Archive

# Of an answer that breaks off at most one such piece is lost.
_CHUNK = 1 << 16
# Seconds to connect, and between two pieces of an answer.
_TIMEOUT = (10, 60)
_ATTEMPTS = 5
# Answers after which another attempt may succeed; others are final for their mirror.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class DownloadError(RecipeError):
    """A file that cannot be had."""


class _Retry(Exception):
    """An attempt failed in a way that may pass."""


class _NextMirror(Exception):
    """A mirror cannot serve the file."""


def human(size: float) -> str:
    """A size in bytes for people.

    Example:
        >>> human(1536), human(23_049_477_885)
        ('1.5 kB', '21.5 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"


def checksum_fault(path: Path, expected: str | None) -> str | None:
    """Compare a file with a checksum.

    Args:
        path: The file.
        expected: `algorithm:hex digits`, or None where there is none to compare with.

    Returns:
        What is wrong, or None.
    """
    if expected is None:
        return None
    algorithm, _, digest = expected.partition(":")
    state = hashlib.new(algorithm)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    found = state.hexdigest()
    return None if found == digest else f"its {algorithm} is {found}, not {digest}"


def archive_fault(path: Path, archive: Archive) -> str | None:
    """Compare a file with what the registry says of it; gives what is wrong, or None."""
    size = path.stat().st_size
    if archive.size is not None and size != archive.size:
        return f"it has {size} bytes, not {archive.size}"
    return checksum_fault(path, archive.checksum)


def _start_of(response: requests.Response, have: int) -> int:
    """Where the answer's first byte belongs in the file."""
    if response.status_code == 206:
        span = response.headers.get("Content-Range", "")
        if span.startswith(f"bytes {have}-"):
            return have
        raise _Retry(f"asked for bytes from {have} on, got '{span}'")
    return 0


def _check_status(response: requests.Response, part: Path) -> None:
    status = response.status_code
    if status == 416:
        # What is there is longer than the file: it belongs to another version.
        part.unlink(missing_ok=True)
        raise _Retry("the server has less than what was already here")
    if status in _PASSING:
        raise _Retry(f"the server answers {status} {response.reason}")
    if status not in (200, 206):
        raise _NextMirror(f"the server answers {status} {response.reason}")


def _attempt(url: str, part: Path, *, size: int | None, progress: Bar) -> None:
    """Fetch what is missing of a file from one mirror."""
    have = part.stat().st_size if part.exists() else 0
    if size is not None and have == size:
        return
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            _check_status(response, part)
            start = _start_of(response, have)
            promised = response.headers.get("Content-Length")
            total = start + int(promised) if promised else size
            progress.total = total
            progress.n = start
            progress.refresh()
            with part.open("r+b" if start else "wb") as file:
                file.seek(start)
                for chunk in response.iter_content(_CHUNK):
                    file.write(chunk)
                    progress.update(len(chunk))
                got = file.tell()
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        raise _Retry(f"the connection broke: {type(error).__name__}") from None
    except requests.RequestException as error:
        raise _NextMirror(str(error)) from None
    if total is not None and got < total:
        raise _Retry(f"the answer ended after {got} of {total} bytes")


def _from_mirror(url: str, part: Path, *, size: int | None, progress: Bar, wait: Callable[[float], None]) -> None:
    """Fetch a file from one mirror, again and again while that brings more of it."""
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            return _attempt(url, part, size=size, progress=progress)
        except _Retry as error:
            after = part.stat().st_size if part.exists() else 0
            failures = 1 if after > before else failures + 1
            if failures >= _ATTEMPTS:
                raise _NextMirror(f"{error}, {_ATTEMPTS} times") from None
            wait(2.0 ** (failures - 1))


def fetch(archive: Archive, folder: Path, *, position: int = 0, wait: Callable[[float], None] = time.sleep) -> Path:
    """Download a file, or go on with what an interrupted call left of it, and verify it.

    Args:
        archive: What to get, from where, and its checksum.
        folder: Where it goes; beside it lies `<name>.part` while it is incomplete.
        position: The line of the screen its progress is shown in.
        wait: Called with the seconds to wait before another attempt.

    Returns:
        The complete file.

    Raises:
        DownloadError: When no mirror serves it, its size or checksum is wrong, or the disk is full. Nothing
            useless is left then; what a broken connection left of a file is kept for the next call.
    """
    target, part = folder / archive.name, folder / f"{archive.name}.part"
    if target.exists():
        if fault := archive_fault(target, archive):
            raise DownloadError(f"{target} is damaged: {fault}. Remove it and run again")
        return target
    folder.mkdir(parents=True, exist_ok=True)
    faults = []
    with Bar(desc=archive.name, unit="B", unit_scale=True, position=position) as progress:
        for url in archive.urls:
            try:
                _from_mirror(url, part, size=archive.size, progress=progress, wait=wait)
            except _NextMirror as error:
                faults.append(f"{url}: {error}")
                continue
            except OSError as error:
                part.unlink(missing_ok=True)
                raise DownloadError(f"cannot write {part}: {error.strerror}") from error
            fault = archive_fault(part, archive)
            if fault is None:
                os.replace(part, target)
                return target
            part.unlink()
            faults.append(f"{url}: {fault}")
    kept = ""
    if part.exists() and any("connection broke" in fault for fault in faults):
        kept = f". {human(part.stat().st_size)} are kept in {part}: run again to go on"
    else:
        part.unlink(missing_ok=True)
    raise DownloadError(f"cannot download {archive.name}: {'; '.join(faults)}{kept}")


def check_space(folder: Path, needed: int, *, what: str) -> None:
    """Insist on free disk space.

    Args:
        folder: Where it is needed; it may not exist yet.
        needed: In bytes.
        what: What for.

    Raises:
        DownloadError: When there is less, naming both figures.
    """
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise DownloadError(f"{folder}: {what} takes {human(needed)} at the peak, {human(free)} are free")


def fetch_all(archives: Sequence[Archive], folder: Path, *, parallel: int) -> list[Path]:
    """Download several files at a time.

    Args:
        archives: What to get.
        folder: Where to.
        parallel: Files at a time.

    Returns:
        The files, in order.

    Raises:
        DownloadError: For the first that fails; those that have not begun are left.
    """
    executor = ThreadPoolExecutor(parallel)
    try:
        futures = [executor.submit(fetch, archive, folder, position=i) for i, archive in enumerate(archives)]
        return [future.result() for future in futures]
    finally:
        executor.shutdown(cancel_futures=True)
