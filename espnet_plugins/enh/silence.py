"""Rows of a batch whose reference is silent: found, left out, or stood in for.

Ratios to the energy of a reference (SI-SNR, SDR, CI-SDR, distances of normalized signals) are not defined where it has
none: their value is no number or infinite, and their gradient makes that of the whole batch useless.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch_complex.tensor import ComplexTensor


def find_silence(waveform: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Which utterances are silent: no sample differs from the first, so that nothing is left without the mean.

    Args:
        waveform: (B, T) or (B, T, C); samples that are no numbers are not silence.
        lengths: (B,) in samples.

    Returns:
        (B,) booleans; True for an utterance without a sample, too.

    Example:
        >>> find_silence(torch.tensor([[0.0, 0.0, 5.0], [0.1, 0.0, 0.0], [0.3, 0.3, 0.3]]), torch.tensor([2, 3, 3]))
        tensor([ True, False,  True])
    """
    valid = torch.arange(waveform.shape[1], device=waveform.device) < lengths[:, None].to(waveform.device)
    differs = (waveform != waveform[:, :1]).flatten(2).any(2) if waveform.dim() > 2 else waveform != waveform[:, :1]
    return ~(differs & valid).any(1)


def take_rows(value: Any, rows: Sequence[int], n_rows: int) -> Any:
    """Some rows of everything in nested lists and mappings that has one entry for each row of a batch.

    Args:
        value: Tensors, lists and mappings of them; anything else is given back as it is.
        rows: Which rows.
        n_rows: Rows of the batch.

    Returns:
        The same structure.

    Example:
        >>> take_rows({"mask": torch.tensor([[1.0], [2.0], [3.0]]), "n": 3}, [0, 2], 3)
        {'mask': tensor([[1.],
                [3.]]), 'n': 3}
    """
    if isinstance(value, Mapping):
        return {name: take_rows(one, rows, n_rows) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [take_rows(one, rows, n_rows) for one in value]
    if isinstance(value, (torch.Tensor, ComplexTensor)) and value.dim() > 0 and value.shape[0] == n_rows:
        return value[list(rows)]
    return value


def stand_in(value: Any, *, seed: int = 0) -> Any:
    """Noise in place of every waveform, with a gradient of zero.

    For a batch in which every reference is silent: all criteria can be computed on noise, so that the statistics have
    the names that the other ranks of a training expect, and nothing reaches the model. What is not finite in the
    waveform stays so.

    Args:
        value: A waveform (B, T) or (B, T, C), or nested lists of them; None stays None.
        seed: Of the noise; the random state of the training is not touched.

    Example:
        >>> stand_in(torch.zeros(2, 400)).std().round(decimals=1)
        tensor(0.1000)
    """
    if isinstance(value, (list, tuple)):
        return [stand_in(one, seed=seed + k) for k, one in enumerate(value)]
    if value is None:
        return None
    noise = 0.1 * torch.randn(value.shape, generator=torch.Generator().manual_seed(seed))
    return 0.0 * value + noise.to(value)
