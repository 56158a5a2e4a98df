"""The passes of soft-DTW over a cost matrix, one module per kind of machine.

Each module offers `forward(cost, pairs, gamma, num_with_grad) -> (value, saved)` and
`backward(saved, shape, pairs, gamma, grad) -> grad_cost`; `saved` is the module's own affair. One that also has
`Parts` takes products of frames and makes costs of them itself (`frames.py`).
"""

import os
from importlib import import_module
from types import ModuleType

import torch

# What each backend needs installed, which is also the name of the extra.
_NEEDS = {"reference": None, "cpu": "numba", "triton": "triton"}
BACKENDS = ("auto", *_NEEDS)


def resolve(name: str, device: torch.device) -> ModuleType:
    """Find the backend for a device.

    Args:
        name: "auto" (by device) or the name of a backend. A name never falls back to another.
        device: where the cost matrix lives.

    Returns:
        The backend's module.

    Raises:
        ValueError: a backend that does not serve `device`.
        ImportError: the backend's extra is not installed.
    """
    if name == "auto":
        name = {"cpu": "cpu", "cuda": "triton"}.get(device.type, "reference")
    serves = {"reference": device.type, "cpu": "cpu", "triton": "cuda"}[name]
    # Triton's interpreter, which is for tests, works on the host.
    interpreted = name == "triton" and os.environ.get("TRITON_INTERPRET") == "1"
    if device.type != serves and not interpreted:
        raise ValueError(
            f"backend {name!r} computes on {serves}, the tensors are on {device}; move them or take 'auto'"
        )
    try:
        return import_module(f"{__name__}.{name}")
    except ImportError as error:
        need = _NEEDS[name]
        if need is None or (error.name or "").split(".")[0] not in (need, "llvmlite"):
            raise
        raise ImportError(
            f"backend {name!r} needs {need}: pip install 'espnet-plugins-ssl-enh[{need}]', or take "
            "backend='reference', which needs torch alone and is slower"
        ) from error
