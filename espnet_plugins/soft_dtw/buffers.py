"""Memory for large results."""

from collections.abc import Sequence

import numpy as np
import torch


def empty(shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
    """Allocate an uninitialised tensor.

    On the CPU NumPy does it: it asks the system for huge pages, which torch does not, and first touching a
    large tensor page by page would cost as much as filling it.

    Args:
        shape: of the tensor.
        like: gives dtype (a NumPy one on the CPU) and device.

    Returns:
        The tensor.
    """
    if like.device.type != "cpu":
        return like.new_empty(shape)
    return torch.from_numpy(np.empty(shape, str(like.dtype).removeprefix("torch.")))
