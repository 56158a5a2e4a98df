"""Soft-DTW in a few obvious lines: any device, any floating dtype. Every other backend is compared with it.

Source: Cuturi and Blondel, "Soft-DTW: a differentiable loss function for time-series", ICML 2017,
algorithms 1 and 2. The backward pass here spreads the occupancy of a cell over its three predecessors by the
softmax of their values, which is the same sum in an order that cannot overflow.
"""

import torch

from espnet_plugins.soft_dtw.pairs import Pairs

_STEPS = ((1, 0), (0, 1), (1, 1))


def forward(
    cost: torch.Tensor, pairs: Pairs, gamma: float, num_with_grad: int
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """Value of each pair and what `backward` needs of the first ones.

    Args:
        cost: (B, N, M).
        pairs: lengths and band, on the device of `cost`.
        gamma: smoothing, above 0.
        num_with_grad: leading pairs that will go through `backward`.

    Returns:
        (B,) values, NaN where a cost that counts is not finite, and the (num_with_grad, N + 1, M + 1) values of all
        prefixes, in a tuple.
    """
    batch, n, m = cost.shape
    mask = pairs.mask(n, m)
    cost = cost.masked_fill(~mask, torch.inf)
    prefix = cost.new_full((batch, n + 1, m + 1), torch.inf)
    prefix[:, 0, 0] = 0.0
    for i, j in _antidiagonals(n, m):
        least, _, total = _weigh(prefix, i, j, gamma)
        prefix[:, i, j] = cost[:, i - 1, j - 1] + least - gamma * total.log()
    value = prefix[torch.arange(batch, device=cost.device), pairs.x_lengths, pairs.y_lengths]
    broken = (mask & ~cost.isfinite()).flatten(1).any(1)
    return value.masked_fill(broken, torch.nan), (prefix[:num_with_grad],)


def backward(
    saved: tuple[torch.Tensor, ...], shape: torch.Size, pairs: Pairs, gamma: float, grad: torch.Tensor
) -> torch.Tensor:
    """Gradient with respect to the costs of the pairs with a gradient.

    Args:
        saved: what `forward` returned.
        shape: shape of the costs of the pairs with a gradient.
        pairs: as in `forward`.
        gamma: as in `forward`.
        grad: (num_with_grad,) gradient that reaches each value.

    Returns:
        (num_with_grad, N, M): how much of the mass of all paths visits each cell, times the gradient that reaches the
        value; 0 outside lengths and band.
    """
    (prefix,) = saved
    num_with_grad, n, m = shape
    occupancy = torch.zeros_like(prefix)
    occupancy[
        torch.arange(num_with_grad, device=prefix.device),
        pairs.x_lengths[:num_with_grad],
        pairs.y_lengths[:num_with_grad],
    ] = grad
    for i, j in reversed(list(_antidiagonals(n, m))):
        _, weights, total = _weigh(prefix, i, j, gamma)
        for (down, right), weight in zip(_STEPS, weights, strict=True):
            occupancy[:, i - down, j - right] += weight / total * occupancy[:, i, j]
    return occupancy[:, 1:, 1:]


def _antidiagonals(n: int, m: int):
    for k in range(2, n + m + 1):
        i = torch.arange(max(1, k - m), min(n, k - 1) + 1)
        yield i, k - i


def _weigh(prefix: torch.Tensor, i: torch.Tensor, j: torch.Tensor, gamma: float):
    """Least value among the predecessors of each cell, their weights relative to it, and the sum of these."""
    values = [prefix[:, i - down, j - right] for down, right in _STEPS]
    least = torch.minimum(torch.minimum(values[0], values[1]), values[2])
    # Where no predecessor can be reached: weights of 0, and a sum of 1 to divide by.
    weights = [torch.exp((least.nan_to_num(posinf=0.0) - value) / gamma) for value in values]
    return least, weights, (weights[0] + weights[1] + weights[2]).clamp(min=1.0)
