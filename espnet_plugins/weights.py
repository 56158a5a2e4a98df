"""Weights of trained models, read without running code and checked name by name."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import torch

# Names of a kind in a message.
_SHOWN = 8


def read_weights(path: str | PathLike[str]) -> dict[str, torch.Tensor]:
    """Read a state dict.

    Args:
        path: A file of weights, or a training's checkpoint.pth.

    Returns:
        Names and tensors, on the CPU.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it is no file of weights.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such model file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} cannot be read as weights: {error}") from error
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise ValueError(f"{path} holds no state dict; give a file of weights")
    return dict(content)


def load_weights(
    model: torch.nn.Module,
    weights: Mapping[str, torch.Tensor],
    *,
    where: str,
    fits: str = "its config.yaml",
) -> None:
    """Put weights into a model; every name must be there, of the right shape and finite.

    Args:
        model: The model.
        weights: Its state dict.
        where: What an error message calls them.
        fits: What an error message says that they should fit.

    Raises:
        ValueError: When tensors are missing, unexpected, misshapen or hold NaN or infinity, naming them.

    Example:
        >>> load_weights(torch.nn.Linear(1, 1), {"weight": torch.zeros(1, 2)}, where="model.pth")
        Traceback (most recent call last):
        ValueError: model.pth does not fit its config.yaml: missing bias; misshapen weight ([1, 2] for [1, 1])
    """
    if faults := weight_faults(model.state_dict(), weights):
        raise ValueError(f"{where} does not fit {fits}: {'; '.join(faults)}")
    model.load_state_dict(weights)


def weight_faults(expected: Mapping[str, torch.Tensor], weights: Mapping[str, torch.Tensor]) -> list[str]:
    """Say how tensors differ from those that a model has.

    Args:
        expected: The model's state dict.
        weights: What a file holds.

    Returns:
        One sentence for each kind of fault: missing, unexpected, misshapen, not finite; none where all is well.

    Example:
        >>> weight_faults({"a": torch.zeros(1)}, {"a": torch.tensor([float("nan")]), "b": torch.zeros(1)})
        ['unexpected b', 'not finite a']
    """
    common = [name for name in expected if name in weights]
    misshapen = [name for name in common if weights[name].shape != expected[name].shape]
    faults = {
        "missing": [name for name in expected if name not in weights],
        "unexpected": [name for name in weights if name not in expected],
        "misshapen": [f"{name} ({list(weights[name].shape)} for {list(expected[name].shape)})" for name in misshapen],
        "not finite": [name for name in common if not _finite(weights[name])],
    }
    return [f"{kind} {_shortened(names)}" for kind, names in faults.items() if names]


def _finite(value: torch.Tensor) -> bool:
    return not value.is_floating_point() or bool(value.isfinite().all())


def _shortened(names: list[str]) -> str:
    """The first names, and how many more there are."""
    shown = names[:_SHOWN]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")
