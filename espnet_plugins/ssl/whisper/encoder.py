"""Whisper's encoder in the three steps that an upstream consists of."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import Conv1d, LayerNorm, Linear, ModuleList
from torch.nn.functional import gelu, scaled_dot_product_attention

from espnet_plugins.ssl.whisper.catalogue import Dimensions
from espnet_plugins.ssl.whisper.features import LogMel

_LONGEST_PERIOD = 10000.0


class Attention(torch.nn.Module):
    """Self-attention; the key has no bias.

    Args:
        width: features per frame.
        heads: of the attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = Linear(width, width)
        self.key = Linear(width, width, bias=False)
        self.value = Linear(width, width)
        self.out = Linear(width, width)

    def forward(self, frames: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Attend from frames (B, N, D) to those where ``mask`` (B, 1, 1, N) is True."""
        query, key, value = (
            project(frames).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        attended = scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out(attended.transpose(1, 2).flatten(2))


class Block(torch.nn.Module):
    """A transformer block that normalizes before attention and before its feed-forward layers.

    Args:
        sizes: of the encoder.
    """

    def __init__(self, sizes: Dimensions) -> None:
        super().__init__()
        self.attn_ln = LayerNorm(sizes.width)
        self.attn = Attention(sizes.width, sizes.heads)
        self.mlp_ln = LayerNorm(sizes.width)
        self.mlp = torch.nn.Sequential(
            Linear(sizes.width, sizes.inner), torch.nn.GELU(), Linear(sizes.inner, sizes.width)
        )

    def forward(self, frames: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Frames (B, N, D) to frames (B, N, D)."""
        frames = frames + self.attn(self.attn_ln(frames), mask)
        return frames + self.mlp(self.mlp_ln(frames))


class WhisperEncoder(torch.nn.Module):
    """Whisper's encoder; see :class:`~espnet_plugins.ssl.spec.UpstreamSpec`. Names of weights are OpenAI's.

    Hidden state 0 is the convolutions' output with the positions added, state i the output of block i; the last
    one stands behind the final norm.

    Source: Radford et al., "Robust speech recognition via large-scale weak supervision", 2022, section 2.2.

    Args:
        sizes: of the encoder.
        window: see 30 s, with zeros behind the utterance, as the recognizer does.

    Example:
        >>> sizes = Dimensions(mels=80, context=1500, width=16, heads=2, layers=1, inner=64)
        >>> encoder = WhisperEncoder(sizes)
        >>> encoder.embed(encoder.extract(torch.zeros(1, 3200)), None).shape
        torch.Size([1, 10, 16])
    """

    positional_embedding: torch.Tensor

    def __init__(self, sizes: Dimensions, *, window: bool = False) -> None:
        super().__init__()
        self.log_mel = LogMel(sizes.mels, window=window)
        self.conv1 = Conv1d(sizes.mels, sizes.width, 3, padding=1)
        self.conv2 = Conv1d(sizes.width, sizes.width, 3, stride=2, padding=1)
        self.register_buffer("positional_embedding", sinusoids(sizes.context, sizes.width))
        self.blocks = ModuleList(Block(sizes) for _ in range(sizes.layers))
        self.ln_post = LayerNorm(sizes.width)

    def extract(self, waveform: torch.Tensor) -> torch.Tensor:
        """Log-mel and convolutions, for utterances of one length: (B, T) -> (B, N, D)."""
        return gelu(self.conv2(gelu(self.conv1(self.log_mel(waveform))))).transpose(1, 2)

    def embed(self, features: torch.Tensor, padding: torch.Tensor | None) -> torch.Tensor:
        """Add each index's position."""
        return features + self.positional_embedding[: features.shape[1]]

    def code(self, count: int) -> torch.Tensor:
        """What is added to hidden state 0, whatever the utterance: (count, D)."""
        return self.positional_embedding[:count]

    def block(
        self, index: int, hidden: torch.Tensor, padding: torch.Tensor | None, carry: Any
    ) -> tuple[torch.Tensor, Any]:
        """Transformer block ``index``, its attention confined to valid frames."""
        mask = None if padding is None else ~padding[:, None, None, :]
        hidden = self.blocks[index](hidden, mask)
        return (self.ln_post(hidden) if index + 1 == len(self.blocks) else hidden), carry


def sinusoids(count: int, width: int) -> torch.Tensor:
    """Positions (count, width): sines in the first half of the features, cosines in the second.

    Example:
        >>> sinusoids(2, 4)[0].tolist()
        [0.0, 0.0, 1.0, 1.0]
    """
    half = width // 2
    rates = torch.exp(torch.arange(half) * (-math.log(_LONGEST_PERIOD) / max(half - 1, 1)))
    angles = torch.arange(count)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
