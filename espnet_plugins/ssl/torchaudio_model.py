"""torchaudio's wav2vec 2.0, HuBERT and WavLM models in the three steps that an upstream consists of."""

from __future__ import annotations

from typing import Any

import torch


class TorchaudioModel(torch.nn.Module):
    """Run torchaudio's own modules step by step; see :class:`~espnet_plugins.ssl.spec.UpstreamSpec`.

    Args:
        model: a ``torchaudio.models.Wav2Vec2Model``.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def extract(self, waveform: torch.Tensor) -> torch.Tensor:
        """Convolutions, for utterances of one length: (B, T) -> (B, N, F)."""
        return self.model.feature_extractor(waveform, None)[0]

    def embed(self, features: torch.Tensor, padding: torch.Tensor | None) -> torch.Tensor:
        """Projection and positional convolution, which sees zeros behind an utterance's end as it would alone."""
        hidden = self.model.encoder.feature_projection(features)
        if padding is not None:
            hidden = hidden.masked_fill(padding.unsqueeze(-1), 0.0)
        return self.model.encoder.transformer._preprocess(hidden)

    def block(
        self, index: int, hidden: torch.Tensor, padding: torch.Tensor | None, carry: Any
    ) -> tuple[torch.Tensor, Any]:
        """Transformer block ``index``, its attention confined to valid frames; ``carry`` is WavLM's position bias.

        Models that normalize before each block (the Large ones) normalize the output of the last block once
        more, as in s3prl and transformers; torchaudio's ``extract_features`` leaves that out, its ``forward``
        does it.
        """
        transformer = self.model.encoder.transformer
        layer = transformer.layers[index]
        mask: dict[str, torch.Tensor] = {}
        if padding is not None:
            if hasattr(layer.attention, "rel_attn_embed"):  # WavLM
                bias = torch.zeros(padding.shape, dtype=hidden.dtype, device=hidden.device)
                mask["key_padding_mask"] = bias.masked_fill(padding, float("-inf"))
            else:
                batch, frames = padding.shape
                mask["attention_mask"] = ~padding[:, None, None, :].expand(batch, 1, frames, frames)
        hidden, carry = layer(hidden, position_bias=carry, **mask)
        last = index + 1 == len(transformer.layers)
        return (transformer.layer_norm(hidden) if last and not transformer.layer_norm_first else hidden), carry
