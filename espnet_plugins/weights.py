"""Weights of trained models, read without running code and checked name by name."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import torch


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


def load_weights(model: torch.nn.Module, weights: Mapping[str, torch.Tensor], *, where: str) -> None:
    """Put weights into a model; every name must be there and of the right shape.

    Args:
        model: The model.
        weights: Its state dict.
        where: What an error message calls them.

    Raises:
        ValueError: When names or shapes differ.

    Example:
        >>> load_weights(torch.nn.Linear(1, 1), {"weight": torch.zeros(1, 1)}, where="model.pth")
        Traceback (most recent call last):
        ValueError: model.pth does not fit its config.yaml: Missing key(s) in state_dict: "bias".
    """
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split("\n", 1)[-1].split())
        raise ValueError(f"{where} does not fit its config.yaml: {reason}") from error
