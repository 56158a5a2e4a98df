"""Normalization of an utterance's features by its own frames."""

from __future__ import annotations

import torch
from espnet2.layers.utterance_mvn import UtteranceMVN


class OwnFramesMVN(UtteranceMVN):
    """ESPnet's `utterance_mvn`, whose variance is that of the utterance's own frames.

    ESPnet 202511 takes the mean off the frames behind an utterance's end, too, before it squares and sums, so that with
    `norm_vars` the features depend on how long the others of the batch are. Without `norm_vars`, this is ESPnet's.

    Args:
        norm_means: Take the mean off.
        norm_vars: Divide by the standard deviation.
        eps: Lower bound of the standard deviation.

    Example:
        >>> features, lengths = torch.tensor([[[1.0], [3.0], [9.0]], [[1.0], [3.0], [5.0]]]), torch.tensor([2, 3])
        >>> OwnFramesMVN(norm_vars=True)(features, lengths)[0][0].flatten().tolist()
        [-1.0, 1.0, 0.0]
    """

    def forward(self, x: torch.Tensor, ilens: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalize.

        Args:
            x: (B, N, ...).
            ilens: (B,) frames of each utterance; N where left out.

        Returns:
            The features, with `norm_vars` zero behind each utterance's end, and the lengths.
        """
        if not self.norm_vars:
            return super().forward(x, ilens)
        if ilens is None:
            ilens = torch.full((len(x),), x.shape[1], device=x.device)
        valid = torch.arange(x.shape[1], device=x.device) < ilens[:, None].to(x.device)
        valid = valid.reshape(*valid.shape, *[1] * (x.dim() - 2))
        counts = ilens.to(x).reshape(-1, *[1] * (x.dim() - 1))
        x = torch.where(valid, x, 0.0)
        centered = torch.where(valid, x - x.sum(1, keepdim=True) / counts, 0.0)
        variance = centered.square().sum(1, keepdim=True) / counts
        # Bounded before the root, whose gradient at 0 is infinite.
        deviation = variance.clamp(min=torch.finfo(x.dtype).tiny).sqrt().clamp(min=self.eps)
        return (centered if self.norm_means else x) / deviation, ilens
