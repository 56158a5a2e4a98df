"""Where the transformer of an SSL model has its positions from: nothing, a convolution, or sinusoids besides."""

from __future__ import annotations

import math
from typing import Any

import torch

POSITIONS = ("none", "conv", "conv_sinusoidal")
# Options of set_positions() in an architecture.
OPTIONS = ("positions", "position_scale")
_LONGEST_PERIOD = 10000.0


class NoPositions(torch.nn.Module):
    """Adds nothing: blocks of attention over it cannot tell one index from another."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Give zeros like ``frames``."""
        return torch.zeros_like(frames)


class SinusoidalPositions(torch.nn.Module):
    """Adds absolute sinusoids to what a convolution says about positions.

    Source: Vaswani et al., "Attention is all you need", 2017, section 3.5.

    Args:
        convolution: the positional convolution.
        scale: amplitude of the sinusoids.

    Example:
        >>> embedding = SinusoidalPositions(NoPositions(), scale=2.0)
        >>> embedding(torch.zeros(1, 2, 4))[0, 0].tolist()
        [0.0, 0.0, 2.0, 2.0]
    """

    def __init__(self, convolution: torch.nn.Module, *, scale: float) -> None:
        super().__init__()
        self.convolution = convolution
        self.scale = scale

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Positions (B, N, D) of frames (B, N, D)."""
        count, dim = frames.shape[1:]
        rates = torch.exp(torch.arange(0, dim, 2, device=frames.device) * (-math.log(_LONGEST_PERIOD) / dim))
        angles = torch.arange(count, device=frames.device)[:, None] * rates
        sinusoids = torch.cat([angles.sin(), angles.cos()], dim=1)[:, :dim]
        return self.convolution(frames) + self.scale * sinusoids.to(frames)


def set_positions(model: Any, positions: str = "conv", *, position_scale: float = 1.0) -> None:
    """Choose the positions of a torchaudio wav2vec 2.0, HuBERT or WavLM model, in place, before it is trained.

    Args:
        model: a ``torchaudio.models.Wav2Vec2Model`` as its factory makes it.
        positions: "none", "conv" (as it is: HuBERT's convolution) or "conv_sinusoidal".
        position_scale: amplitude of the sinusoids.

    Raises:
        ValueError: for other positions.
    """
    if positions not in POSITIONS:
        raise ValueError(f"positions: {positions!r} is not accepted; accepted are {', '.join(POSITIONS)}")
    transformer = model.encoder.transformer
    if positions == "none":
        transformer.pos_conv_embed = NoPositions()
    elif positions == "conv_sinusoidal":
        transformer.pos_conv_embed = SinusoidalPositions(transformer.pos_conv_embed, scale=float(position_scale))
