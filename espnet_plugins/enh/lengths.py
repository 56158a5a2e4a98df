"""Padded batches of waveforms: padding beyond an utterance's length is zero, and counts for nothing."""

from __future__ import annotations

import torch


def mask_padding(waveform: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Set every sample behind an utterance's end to zero.

    Args:
        waveform: (B, T) or (B, T, C).
        lengths: (B,) in samples.

    Returns:
        A tensor of the same shape; the input itself where no utterance is shorter than T.

    Example:
        >>> mask_padding(torch.ones(2, 3), torch.tensor([3, 1])).tolist()
        [[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]
    """
    n_samples = waveform.shape[1]
    if bool((lengths >= n_samples).all()):
        return waveform
    valid = torch.arange(n_samples, device=waveform.device) < lengths[:, None].to(waveform.device)
    valid = valid.reshape(*valid.shape, *[1] * (waveform.dim() - 2))
    # where() rather than a product, so that inf or NaN behind the end cannot pass.
    return torch.where(valid, waveform, waveform.new_zeros(()))


def deviation(waveform: torch.Tensor, lengths: torch.Tensor, *, per_channel: bool = False) -> torch.Tensor:
    """Standard deviation of each utterance over its own samples; zero for a single one.

    Args:
        waveform: (B, T) or (B, T, C).
        lengths: (B,) in samples.
        per_channel: One value for each channel instead of one for all.

    Returns:
        (B, 1), or (B, 1, 1), or (B, 1, C) where `per_channel`.

    Example:
        >>> deviation(torch.tensor([[0.0, 2.0, 1.0, 9.0], [5.0, 9.0, 9.0, 9.0]]), torch.tensor([3, 1])).tolist()
        [[1.0], [0.0]]
    """
    joined = waveform.shape[2:] and not per_channel
    rows = [
        utterance[:n].reshape(-1, 1) if joined else utterance[:n]
        for utterance, n in zip(waveform, lengths.tolist(), strict=True)
    ]
    # The deviation of one value is 0/0, and its gradient would be NaN.
    rows = [row if len(row) > 1 else torch.zeros_like(row).repeat_interleave(2, dim=0) for row in rows]
    return torch.stack([row.std(dim=0, keepdim=True) for row in rows])


def std(waveform: torch.Tensor, lengths: torch.Tensor, *, per_channel: bool = False) -> torch.Tensor:
    """Standard deviation of each utterance over its own samples, never zero.

    Args:
        waveform: (B, T) or (B, T, C).
        lengths: (B,) in samples.
        per_channel: One value for each channel instead of one for all.

    Returns:
        (B, 1), or (B, 1, 1), or (B, 1, C) where `per_channel`.

    Example:
        >>> std(torch.tensor([[0.0, 2.0, 1.0, 9.0]]), torch.tensor([3])).tolist()
        [[1.0]]
    """
    found = deviation(waveform, lengths, per_channel=per_channel)
    return found.clamp(min=torch.finfo(found.dtype).tiny ** 0.5)
