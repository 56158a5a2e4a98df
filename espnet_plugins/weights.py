"""Weights of trained models, read without running code and checked name by name."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import torch

from espnet_plugins.contents import is_lfs_pointer

# Names of a kind in a message.
_SHOWN = 8
# Classes that fairseq's checkpoints hold beside tensors.
_OF_FAIRSEQ = ("fairseq", "omegaconf", "argparse.Namespace")


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
        raise ValueError(why_unreadable(path, error)) from error
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise ValueError(f"{path} holds no state dict; give a file of weights")
    return dict(content)


def why_unreadable(path: str | PathLike[str], error: Exception) -> str:
    """Say what a file is that torch could not read as weights, and what to do.

    Args:
        path: The file.
        error: Of torch.

    Returns:
        A sentence that begins with the path.
    """
    with Path(path).open("rb") as file:
        start = file.read(256).lstrip()
    if not start:
        return f"{path} is empty: fetch it again"
    if is_lfs_pointer(path):
        return f"{path} is a pointer of Git LFS, not the file itself: run `git lfs pull` where it lies, or download it"
    if start.startswith(b"<"):
        return f"{path} is a web page, not weights: its download failed; fetch it again"
    if any(name in str(error) for name in _OF_FAIRSEQ):
        return (
            f"{path} holds objects of fairseq, which cannot be read without running code: take the same model as a "
            "torchaudio bundle (`model: hubert_base`, ...) or as a Hugging Face directory, into which transformers "
            "converts checkpoints of fairseq"
        )
    return f"{path} cannot be read as weights (damaged, cut off, or of another program): {error}"


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
        One sentence for each kind of fault: missing, unexpected, misshapen, no tensor, not finite; none where all is
        well.

    Example:
        >>> weight_faults({"a": torch.zeros(1)}, {"a": torch.tensor([float("nan")]), "b": torch.zeros(1)})
        ['unexpected b', 'not finite a']
        >>> weight_faults({"a": torch.zeros(1)}, {"a": None})
        ['no tensor a']
    """
    common = [name for name in expected if isinstance(weights.get(name), torch.Tensor)]
    misshapen = [name for name in common if weights[name].shape != expected[name].shape]
    faults = {
        "missing": [name for name in expected if name not in weights],
        "unexpected": [name for name in weights if name not in expected],
        "misshapen": [f"{name} ({list(weights[name].shape)} for {list(expected[name].shape)})" for name in misshapen],
        "no tensor": [name for name in expected if name in weights and name not in common],
        "not finite": [name for name in common if not weights_are_finite(weights[name])],
    }
    return [f"{kind} {named(names)}" for kind, names in faults.items() if names]


def weights_are_finite(value: torch.Tensor) -> bool:
    """Whether a tensor holds neither NaN nor infinity."""
    return not value.is_floating_point() or bool(value.isfinite().all())


def named(names: list[str]) -> str:
    """The first names, and how many more there are."""
    shown = names[:_SHOWN]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")
