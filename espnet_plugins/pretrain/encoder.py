"""ESPnet's HuBERT encoder with a choice of positions, for upstreams that differ in nothing else."""

from __future__ import annotations

import copy
from typing import Any

import torch
from espnet2.asr.encoder.hubert_encoder import TorchAudioHuBERTPretrainEncoder

from espnet_plugins.ssl.positions import set_positions


class PositionalHuBERT(TorchAudioHuBERTPretrainEncoder):
    """ESPnet's ``torchaudio_hubert``, its transformer with other positions.

    Args:
        input_size: as in ESPnet's encoder, like ``options``.
        positions: "none", "conv" or "conv_sinusoidal", see
            :func:`~espnet_plugins.ssl.positions.set_positions`.
        position_scale: amplitude of the sinusoids.
        predict_unmasked: predict the classes of unmasked frames as well as of masked ones. Without positions all
            masked frames look alike, so that they alone would teach a model next to nothing.
        options: of ESPnet's encoder.

    Raises:
        ValueError: for other positions.
    """

    def __init__(
        self,
        input_size: int = 1,
        positions: str = "conv",
        position_scale: float = 1.0,
        predict_unmasked: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(input_size, **options)
        set_positions(self.hubert_pretrain_model.wav2vec2, positions, position_scale=position_scale)
        self.pretrained_params = copy.deepcopy(self.hubert_pretrain_model.state_dict())
        self.predict_unmasked = predict_unmasked

    def _pretraining_forward(self, xs_pad, ilens, ys_pad):
        masked, unmasked, penalty = super()._pretraining_forward(xs_pad, ilens, ys_pad)
        # ESPnet's loss takes the first logits; the class of each frame is known to be their first column.
        return (torch.cat([masked, unmasked]) if self.predict_unmasked else masked), unmasked, penalty
