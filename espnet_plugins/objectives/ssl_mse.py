"""SSL-MSE: frame i of the estimate against frame i of the reference."""

from __future__ import annotations

import torch

from espnet_plugins.objectives.base import SSLCriterion, mean_squared_distance


class SSLMSE(SSLCriterion):
    """Mean over frames of the squared Euclidean distance, mean_i |x_i - x'_i|^2.

    Source: Meghanani and Hain, "Position-invariant fine-tuning of speech enhancement models with
    self-supervised speech representations", ICASSP 2026: the baseline.

    Args:
        options: fields of :class:`~espnet_plugins.objectives.base.SSLOptions`.

    Raises:
        ValueError: for an option that is not accepted.

    Example:
        >>> criterion = SSLMSE(upstream={"model": "hubert_base", "pretrained": False})
        >>> criterion.name, criterion.layers
        ('ssl_mse', (12,))
    """

    default_name = "ssl_mse"

    def distance(
        self,
        estimate: torch.Tensor,
        reference: torch.Tensor,
        estimate_lengths: torch.Tensor,
        reference_lengths: torch.Tensor,
    ) -> torch.Tensor:
        """Compare frames of equal index."""
        return mean_squared_distance(estimate, reference, estimate_lengths)
