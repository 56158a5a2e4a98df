"""Checkpoints that are whole or not there: written atomically, one earlier kept, read back only when intact."""

from __future__ import annotations

import datetime
import logging
import os
import pickle
import threading
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from espnet_plugins.atomic import atomic_path

LATEST = "checkpoint.pth"
PREVIOUS = "checkpoint.previous.pth"
# The folder of models that are kept at intervals of updates.
KEPT = "updates"
# What ESPnet's reporter keeps beside plain numbers.
_SAFE = [
    np._core.multiarray.scalar,  # type: ignore[attr-defined]
    np.dtype,
    np.dtypes.Float64DType,
    np.dtypes.Float32DType,
    np.dtypes.Int64DType,
    datetime.timedelta,
]
_LOADING = threading.Lock()


def is_intact(path: Path) -> bool:
    """Whether a file written by torch.save is complete and every byte of it as written.

    torch.load reads a changed byte without complaint; the checksums of the archive tell.

    Args:
        path: The file.

    Returns:
        False where the file is missing, cut off or changed.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a.pth"
        >>> torch.save({"a": 1}, file)
        >>> is_intact(file)
        True
        >>> _ = file.write_bytes(file.read_bytes()[:100])
        >>> is_intact(file)
        False
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return False
        _load(path, mmap=True)
    except pickle.UnpicklingError:
        # Whole, but not for us: read() says why.
        return True
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile):
        return False
    return True


def _load(path: Path, *, mmap: bool = False) -> dict[str, Any]:
    # torch's list of safe types is one for all threads: the first to leave would empty it for the others.
    with _LOADING, torch.serialization.safe_globals(_SAFE):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)


def read(path: Path) -> dict[str, Any]:
    """Load a checkpoint of the trainer onto the CPU; nothing but data is accepted.

    Args:
        path: A file that ResumableTrainer wrote.

    Returns:
        Its model, reporter, optimizers, schedulers, scaler; `within` if it was saved inside an epoch; `gradients`
        if some had been accumulated that no update had used.

    Raises:
        pickle.UnpicklingError: When it holds anything but tensors, numbers and containers of them.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / LATEST
        >>> torch.save({"reporter": {"epoch": 3}}, file)
        >>> read(file)["reporter"]["epoch"]
        3
    """
    return _load(path)


def recover(folder: Path) -> None:
    """Put the previous checkpoint in the place of a latest one that is corrupt.

    Args:
        folder: The experiment. Nothing happens where its latest checkpoint is intact or there is none at all.

    Raises:
        RuntimeError: When neither checkpoint is intact.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic_saves():
        ...     for epoch in (1, 2):
        ...         torch.save({"reporter": {"epoch": epoch}}, folder / LATEST)
        >>> _ = (folder / LATEST).write_text("broken")
        >>> recover(folder)
        >>> read(folder / LATEST)["reporter"]["epoch"]
        1
    """
    latest, previous = folder / LATEST, folder / PREVIOUS
    if not (latest.exists() or previous.exists()) or is_intact(latest):
        return
    if not is_intact(previous):
        raise RuntimeError(
            f"{latest} is corrupt, and there is no intact {previous.name} beside it: the training cannot be resumed. "
            "Start it anew with --resume false"
        )
    state = "corrupt" if latest.exists() else "missing"
    logging.warning(f"{latest} is {state}: resuming from {previous.name}, which is one save older")
    os.replace(previous, latest)


@contextmanager
def atomic_saves(*, complete: Callable[[Any], None] = lambda states: None):
    """Make every torch.save to a path write to a temporary name first, then rename; keep one earlier checkpoint.

    ESPnet writes its checkpoint in place: a process killed in the middle leaves a file that cannot be read
    (espnet issue 5407). Inside this context a file is either the old one or the new one, and the `checkpoint.pth`
    that is replaced stays as `checkpoint.previous.pth`.

    Args:
        complete: Called with each checkpoint before it is written; it may add to it.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic_saves():
        ...     torch.save(1, folder / LATEST)
        ...     torch.save(2, folder / LATEST)
        >>> sorted(path.name for path in folder.iterdir())
        ['checkpoint.previous.pth', 'checkpoint.pth']
    """
    save = torch.save

    def save_atomically(obj, f, *args, **kwargs):
        if not isinstance(f, (str, os.PathLike)):
            return save(obj, f, *args, **kwargs)
        target = Path(f)
        if target.name == LATEST:
            complete(obj)
        with atomic_path(target) as temporary:
            with temporary.open("wb") as stream:
                save(obj, stream, *args, **kwargs)
                stream.flush()
                # Without it a machine that loses power may keep the new name and not the content.
                os.fsync(stream.fileno())
            if target.name == LATEST and target.exists():
                os.replace(target, target.with_name(PREVIOUS))

    torch.save = save_atomically
    try:
        yield
    finally:
        torch.save = save
