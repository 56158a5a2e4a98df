"""ESPnet's trainer, made safe against being killed at any moment."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from pathlib import Path

import torch
from espnet2.train.trainer import Trainer


@contextmanager
def atomic_saves():
    """Make every torch.save to a path write to a temporary name first, then rename.

    ESPnet writes its checkpoint in place: a process killed in the middle leaves a file that cannot be read
    (espnet issue 5407). Inside this context a file is either the old one or the new one.
    """
    save = torch.save

    def save_atomically(obj, f, *args, **kwargs):
        if not isinstance(f, (str, os.PathLike)):
            return save(obj, f, *args, **kwargs)
        tmp = f"{os.fspath(f)}.{os.getpid()}.tmp"
        try:
            save(obj, tmp, *args, **kwargs)
            os.replace(tmp, f)
        finally:
            Path(tmp).unlink(missing_ok=True)

    torch.save = save_atomically
    try:
        yield
    finally:
        torch.save = save


class ResumableTrainer(Trainer):
    """ESPnet's Trainer whose interrupted run ends like the uninterrupted one.

    ESPnet seeds its random state at each epoch from the seed and the epoch's number, so that a run resumed
    at an epoch's start repeats the same draws. What it lacks is added here: checkpoints are written
    atomically, and files that belong to the checkpoint's epoch but had not been written are restored.
    """

    @classmethod
    def run(cls, *args, **kwargs) -> None:
        """Train as ESPnet does, with atomic saves."""
        with atomic_saves():
            super().run(*args, **kwargs)

    @staticmethod
    def resume(checkpoint, model, reporter, optimizers, schedulers, scaler, ngpu=0, strict=True) -> None:
        """Load a checkpoint, then restore the epoch's model file and links if they are missing."""
        Trainer.resume(checkpoint, model, reporter, optimizers, schedulers, scaler, ngpu=ngpu, strict=strict)
        folder, epoch = Path(checkpoint).parent, reporter.get_epoch()
        model_file = folder / f"{epoch}epoch.pth"
        if not model_file.exists():
            logging.warning(f"{model_file} is missing: restoring it from {checkpoint}")
            torch.save(model.state_dict(), model_file)
        for link, target in ((folder / "latest.pth", model_file.name),):
            if not link.exists():
                link.unlink(missing_ok=True)
                link.symlink_to(target)
