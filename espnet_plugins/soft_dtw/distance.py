"""Costs between all frames of two batches of sequences, by matrix products."""

import torch

from espnet_plugins.soft_dtw.pairs import Pairs

DISTANCES = ("sqeuclidean", "cosine")


def pairwise_cost(x: torch.Tensor, y: torch.Tensor, pairs: Pairs, distance: str) -> torch.Tensor:
    """Cost of pairing each frame of x with each frame of y, (B, N, M).

    Args:
        x: (B, N, D) frames; what lies beyond a length is never used.
        y: (B, M, D) frames.
        pairs: lengths, on the device of x.
        distance: "sqeuclidean", |x_i - y_j|^2, or "cosine", 1 - cos(x_i, y_j).

    Returns:
        (B, N, M) costs; cells beyond the lengths hold no meaning.
    """
    x = _without_padding(x, pairs.x_lengths)
    y = _without_padding(y, pairs.y_lengths)
    if distance == "cosine":
        x, y = torch.nn.functional.normalize(x, dim=-1), torch.nn.functional.normalize(y, dim=-1)
        return 1 - x @ y.transpose(1, 2)
    norms = x.square().sum(-1)[:, :, None] + y.square().sum(-1)[:, None, :]
    return torch.baddbmm(norms, x, y.transpose(1, 2), alpha=-2)


def _without_padding(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Zero the frames beyond the lengths: 0 * NaN would reach the gradient of the valid ones."""
    padding = torch.arange(x.shape[1], device=x.device) >= lengths[:, None]
    return x.masked_fill(padding[:, :, None], 0.0)
