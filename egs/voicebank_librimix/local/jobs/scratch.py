"""Copies of audio archives on a disk of the node, since many small reads from a shared file system are slow."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from local.common.errors import OptionError
from local.common.kaldi_dir import read_table, write_table
from local.common.output import atomic_path, log

_PLACE = re.compile(r"(.+?)(:\d+)?")


def stage_options(options: Sequence[str], scratch: Path) -> list[str]:
    """Copy the audio that a training's options name; give the options with the copies' lists.

    Args:
        options: Of a training program of ESPnet.
        scratch: A directory on a disk of this node; made if it is missing.

    Returns:
        The options; those of audio point below `scratch`. They are as before where there is no room.

    Raises:
        OptionError: When nothing can be written there.
    """
    staged = list(options)
    for k, option in enumerate(options[:-1]):
        if option.endswith("_data_path_and_name_and_type") and options[k + 1].endswith(",kaldi_ark"):
            path, name, kind = options[k + 1].rsplit(",", 2)
            staged[k + 1] = f"{stage(Path(path), scratch)},{name},{kind}"
    return staged


def stage(scp: Path, scratch: Path) -> Path:
    """Copy the archives of a list to `scratch`, each once.

    Args:
        scp: Lines of `utterance archive:place`.
        scratch: The node's directory. Several trainings and processes may share it.

    Returns:
        A list with the places of the copies, or `scp` itself where there is no room for them.

    Raises:
        OptionError: When nothing can be written there.
    """
    table = read_table(scp)
    locations = {utt: _PLACE.fullmatch(location) for utt, location in table.items()}
    archives = {match[1] for match in locations.values() if match}
    copies = {archive: scratch / _name(Path(archive)) for archive in archives}
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with (scratch / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            missing = [Path(archive) for archive, copy in copies.items() if not copy.exists()]
            needed, free = sum(path.stat().st_size for path in missing), shutil.disk_usage(scratch).free
            if needed > 0.95 * free:
                log(f"{scratch} has {free / 1e9:.1f} GB free, {scp} needs {needed / 1e9:.1f}: read where it is")
                return scp
            for path in missing:
                with atomic_path(copies[str(path)]) as tmp:
                    shutil.copyfile(path, tmp)
            target = scratch / f"{hashlib.sha256(str(scp).encode()).hexdigest()[:16]}.{os.getpid()}.{scp.name}"
            write_table(
                target, {utt: f"{copies[match[1]]}{match[2] or ''}" for utt, match in locations.items() if match}
            )
    except OSError as error:
        raise OptionError(f"--local_scratch {scratch}: {error.strerror or error}") from error
    if missing:
        log(f"copied {len(missing)} archives, {needed / 1e9:.2f} GB, to {scratch}")
    return target


def _name(archive: Path) -> str:
    """A copy's name: another content of the same archive gets another."""
    status = archive.stat()
    identity = f"{archive} {status.st_size} {status.st_mtime_ns}"
    return f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.{archive.name}"
