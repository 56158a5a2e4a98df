"""Memory for large results."""

import math
from collections.abc import Sequence

import numpy as np
import torch

_ALIGNMENT = 64


def empty(shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
    """Allocate an uninitialized tensor.

    On the CPU NumPy does it: it asks the system for huge pages, which torch does not, and first touching a
    large tensor page by page would cost as much as filling it. It begins where torch's own tensors do, at a multiple
    of 64 bytes: the last bits of a matrix product may depend on that, and the same call should give them again.

    Args:
        shape: of the tensor.
        like: gives dtype (a NumPy one on the CPU) and device.

    Returns:
        The tensor.
    """
    if like.device.type != "cpu":
        return like.new_empty(shape)
    size = math.prod(shape) * like.element_size()
    memory = np.empty(size + _ALIGNMENT, "uint8")
    first = -memory.ctypes.data % _ALIGNMENT
    dtype = str(like.dtype).removeprefix("torch.")
    return torch.from_numpy(memory[first : first + size].view(dtype).reshape(shape))
