"""The state of every global random generator, in types that a checkpoint may hold."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def capture() -> dict[str, Any]:
    """Take the state of the generators of Python, NumPy and torch (CPU and the current GPU).

    Returns:
        Tensors, numbers and tuples only.

    Example:
        >>> state = capture()
        >>> first = torch.rand(())
        >>> restore(state)
        >>> bool(torch.rand(()) == first)
        True
    """
    numpy = np.random.get_state(legacy=False)  # noqa: NPY002  (what ESPnet draws from)
    key = numpy["state"]["key"]
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
    return {
        "python": random.getstate(),
        "numpy": {**numpy, "state": {"key": torch.from_numpy(key.astype(np.int64)), "pos": numpy["state"]["pos"]}},
        "torch": torch.get_rng_state(),
        "cuda": cuda,
    }


def restore(state: dict[str, Any]) -> None:
    """Set the generators to a state that capture() gave.

    Args:
        state: The state; its part for the GPU is left out where there is none.
    """
    random.setstate(state["python"])
    numpy = dict(state["numpy"])
    numpy["state"] = {**numpy["state"], "key": numpy["state"]["key"].numpy().astype(np.uint32)}
    np.random.set_state(numpy)  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
