"""What differs between the releases of ESPnet that this package works with, 202511 and 202611; nothing else asks."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

try:
    from espnet2.legacy.nets.e2e_asr_common import end_detect
    from espnet2.legacy.nets.pytorch_backend.nets_utils import get_activation
    from espnet2.legacy.nets.pytorch_backend.rnn.encoders import RNNP

    # The front-end `huggingface` gives an utterance's frames and their number.
    HUGGINGFACE_COUNTS_FRAMES = True
except ModuleNotFoundError:  # up to 202511
    from espnet.nets.e2e_asr_common import end_detect
    from espnet.nets.pytorch_backend.nets_utils import get_activation
    from espnet.nets.pytorch_backend.rnn.encoders import RNNP

    HUGGINGFACE_COUNTS_FRAMES = False

__all__ = ["HUGGINGFACE_COUNTS_FRAMES", "RNNP", "end_detect", "get_activation", "set_joint_task", "stored_seconds"]


def set_joint_task(task: type) -> None:
    """Have ESPnet's program of recognition build joint models by another task than its own.

    Args:
        task: A subclass of ESPnet's EnhS2TTask.
    """
    from espnet2.bin import asr_inference
    from espnet2.tasks import enh_s2t

    if hasattr(asr_inference, "EnhS2TTask"):  # up to 202511
        asr_inference.EnhS2TTask = task
    else:  # the program imports it anew for every model
        enh_s2t.EnhS2TTask = task


def stored_seconds(time: datetime.timedelta | Mapping[str, float]) -> float:
    """An epoch's time, as a checkpoint holds it, in seconds.

    Args:
        time: What ESPnet's reporter keeps: a duration up to 202511, from 202611 on a mapping that holds its seconds.

    Example:
        >>> stored_seconds(datetime.timedelta(minutes=1)), stored_seconds({"__timedelta_seconds__": 60.0})
        (60.0, 60.0)
    """
    return time["__timedelta_seconds__"] if isinstance(time, Mapping) else time.total_seconds()
