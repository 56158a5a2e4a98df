"""One linear map from features to CTC: the probe of what a frozen model's features already say."""

from __future__ import annotations

import torch
from espnet2.asr.encoder.abs_encoder import AbsEncoder


class LinearEncoder(AbsEncoder):
    """A linear map per frame, no context, no nonlinearity.

    Args:
        input_size: Features per frame.
        output_size: Features per frame that the CTC layer gets.

    Example:
        >>> encoder = LinearEncoder(4, output_size=3)
        >>> frames, lengths, _ = encoder(torch.zeros(2, 5, 4), torch.tensor([5, 2]))
        >>> frames.shape, lengths.tolist()
        (torch.Size([2, 5, 3]), [5, 2])

    Source:
        Yang et al., "SUPERB", Interspeech 2021, section 2 (phone recognition: frame-wise linear, CTC).
    """

    def __init__(self, input_size: int, output_size: int = 256):
        super().__init__()
        self.linear = torch.nn.Linear(input_size, output_size)

    def output_size(self) -> int:
        """Features per frame."""
        return self.linear.out_features

    def forward(
        self, xs_pad: torch.Tensor, ilens: torch.Tensor, prev_states: torch.Tensor | None = None, **unused
    ) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Map every frame.

        Args:
            xs_pad: (B, N, D).
            ilens: (B,) in frames.
            prev_states: Not used.
            unused: What ESPnet's model hands to other encoders.

        Returns:
            (B, N, output_size), `ilens`, and no state.
        """
        return self.linear(xs_pad), ilens, None
