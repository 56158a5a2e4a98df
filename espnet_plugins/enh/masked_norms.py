"""Conv-TasNet's normalization layers over each utterance's own frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from espnet2.enh.layers import tcn
from torch.nn.functional import group_norm, pad

from espnet_plugins.recast import recast


class Frames:
    """The frames of each utterance in the batch that is passing, known to all normalization layers of a network."""

    def __init__(self) -> None:
        self.lengths: list[int] | None = None

    @contextmanager
    def of(self, lengths: list[int]) -> Iterator[None]:
        """Inside, the batch has utterances of these lengths."""
        self.lengths = lengths
        try:
            yield
        finally:
            self.lengths = None


class MaskedNorm(torch.nn.Module):
    """A normalization layer that sees an utterance's own frames only and gives zeros behind them.

    Zeros, because they are what the convolution behind it finds at the end of an utterance alone.
    """

    frames: Frames

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Normalize (B, C, N)."""
        if self.frames.lengths is None:
            return self.normalize(features)
        n_frames = features.shape[2]
        rows = (self.normalize(row[None, :, :n]) for row, n in zip(features, self.frames.lengths, strict=True))
        if not torch.is_grad_enabled():
            normalized = torch.zeros_like(features)
            for target, row in zip(normalized, rows, strict=True):
                target[:, : row.shape[2]] = row[0]
            return normalized
        return torch.cat([pad(row, (0, n_frames - row.shape[2])) for row in rows])

    def normalize(self, features: torch.Tensor) -> torch.Tensor:
        """Normalize (B, C, N), all frames valid."""
        return super().forward(features)


class MaskedGlobalNorm(MaskedNorm, tcn.GlobalLayerNorm):
    """gLN: the mean and variance of all channels and frames of an utterance."""

    gamma: torch.nn.Parameter
    beta: torch.nn.Parameter

    def normalize(self, features: torch.Tensor) -> torch.Tensor:
        """Normalize by torch's fused function; ESPnet's makes six tensors of the input's size on the way."""
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(torch.promote_types(features.dtype, self.gamma.dtype))
            return group_norm(features, 1, self.gamma.flatten(), self.beta.flatten(), tcn.EPS)


class MaskedChannelNorm(MaskedNorm, tcn.ChannelwiseLayerNorm):
    """cLN: each frame by itself."""


class MaskedGroupNorm(MaskedNorm, torch.nn.GroupNorm):
    """GN, over an utterance's frames."""


class MaskedBatchNorm(MaskedNorm, torch.nn.BatchNorm1d):
    """BN: over the valid frames of the whole batch in training, so that it is the one norm that mixes utterances."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Normalize (B, C, N)."""
        if self.frames.lengths is None:
            return self.normalize(features)
        index = torch.arange(features.shape[2], device=features.device)
        valid = index < torch.tensor(self.frames.lengths, device=features.device)[:, None]
        normalized = self.normalize(features.transpose(1, 2)[valid])
        by_frame = normalized.new_zeros(features.transpose(1, 2).shape).masked_scatter(valid[..., None], normalized)
        return by_frame.transpose(1, 2)


_MASKED: dict[type, type[MaskedNorm]] = {
    tcn.GlobalLayerNorm: MaskedGlobalNorm,
    tcn.ChannelwiseLayerNorm: MaskedChannelNorm,
    torch.nn.GroupNorm: MaskedGroupNorm,
    torch.nn.BatchNorm1d: MaskedBatchNorm,
}


def mask_norms(network: torch.nn.Module) -> Frames:
    """Replace the normalization layers inside a Conv-TasNet by ones that respect lengths; parameters and names stay.

    Args:
        network: ESPnet's TCN separator.

    Returns:
        Where the lengths of a batch are told to the layers.

    Example:
        >>> separator = torch.nn.Sequential(tcn.GlobalLayerNorm(1))
        >>> frames = mask_norms(separator)
        >>> with frames.of([3, 2]):
        ...     separator(torch.tensor([[[0.0, 1.0, 2.0]], [[1.0, 3.0, 9.0]]]))[1].flatten().round().tolist()
        [-1.0, 1.0, 0.0]
    """
    frames = Frames()
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if type(child) in _MASKED:
                setattr(parent, name, recast(child, _MASKED[type(child)], frames=frames))
    return frames
