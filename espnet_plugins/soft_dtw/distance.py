"""Costs between all frames of two batches of sequences, by matrix products."""

from collections.abc import Callable, Iterator

import torch
from torch.autograd.function import once_differentiable

from espnet_plugins.soft_dtw.buffers import empty
from espnet_plugins.soft_dtw.cost_layout import Part, Sides, has_padding, parts_by_block, parts_by_pair
from espnet_plugins.soft_dtw.pairs import Blocks, Pairs
from espnet_plugins.soft_dtw.products import add_product, row_sum

# Which frames of x and of y are zeros; None where that does not matter.
Zeros = tuple[torch.Tensor, torch.Tensor] | None

DISTANCES = ("sqeuclidean", "cosine")

# Frames of each side that a common offset is looked for in, and how many times the spread of the frames around it
# its square must be: below, taking it off would gain two bits at most.
_SAMPLES = 4
_LARGE_OFFSET = 4.0
# Norm up to which a frame counts as zeros.
_ZERO_NORM = 1e-12


def pairwise_cost(
    x: torch.Tensor,
    y: torch.Tensor,
    pairs: Pairs,
    distance: str,
    blocks: Blocks = ((0, 1),),
    blocks_with_grad: int = 1,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cost of pairing each frame with each frame of the other sequence.

    Args:
        x: (B, N, D) frames; padding beyond their lengths is ignored.
        y: (B, M, D) frames.
        pairs: lengths of all len(blocks) * B pairs, block by block, on the device of x.
        distance: "sqeuclidean", |x_i - y_j|^2, or "cosine", 1 - cos(x_i, y_j).
        blocks: ((0, 1),) for x against y; (0, 0) stands for x against itself, and so on.
        blocks_with_grad: how many leading blocks a gradient goes through.

    Returns:
        The (blocks_with_grad * B, N, M) costs that have a gradient, and all (len(blocks) * B, N, M), of which they are
        the first, without. Cells beyond the lengths hold no meaning.
    """
    with torch.autocast(x.device.type, enabled=False):
        x, y, weight, zeros = prepare(x, y, pairs, distance)
        return PairwiseCost.apply(x, y, pairs, weight, zeros, blocks, blocks_with_grad)


def prepare(
    x: torch.Tensor,
    y: torch.Tensor,
    pairs: Pairs,
    distance: str,
    any_large_offset: Callable[..., bool] | None = None,
) -> tuple[torch.Tensor, torch.Tensor, float, Zeros]:
    """Frames between which a squared distance, times a weight, is the distance asked for.

    Args:
        x: (B, N, D) frames.
        y: (B, M, D) frames.
        pairs: lengths of the leading B pairs.
        distance: as in `pairwise_cost`.
        any_large_offset: a quick way, where there is one, to tell that no offset has to be taken off.

    Returns:
        x and y, L2-normalized for the cosine and without a large common offset, the weight, and for the cosine
        which frames are zeros, (B, N) and (B, M).
    """
    batch = len(x)
    cosine = distance == "cosine"
    if cosine or not _on_host(x):
        x, y = _without_padding(x, pairs.x_lengths[:batch]), _without_padding(y, pairs.y_lengths[:batch])
    zeros = None
    if cosine:
        x, y = _l2_normalized(x), _l2_normalized(y)
        zeros = ~x.detach().any(-1), ~y.detach().any(-1)
    weight = 0.5 if cosine else 1.0
    if any_large_offset and not any_large_offset(x, y, pairs, samples=_SAMPLES, ratio=_LARGE_OFFSET):
        return x, y, weight, zeros
    offset = _common_offset(x.detach(), y.detach(), pairs)
    if not _on_host(x) or offset.any():
        x, y = x - offset, y - offset
    return x, y, weight, zeros


def squared_norms(sides: Sides, weight: float, zeros: Zeros) -> tuple[torch.Tensor, torch.Tensor]:
    """weight * |a|^2 of all frames of both sides, and 1 instead of 0 for those of zeros, where `zeros` names them."""
    # Faster than sums of squares, which would be written out first.
    x, y = (torch.linalg.vector_norm(frames, dim=-1).square_() for frames in sides)
    if zeros is not None:
        x, y = x.add_(zeros[0]), y.add_(zeros[1])
    return (x, y) if weight == 1 else (x.mul_(weight), y.mul_(weight))


class PairwiseCost(torch.autograd.Function):
    """weight * |a - b|^2 between frames, as weight * (|a|^2 + |b|^2 - 2ab), in the buffer of the product itself.

    Between L2-normalized frames half of it is 1 - cos(a, b). A frame of zeros, which has no direction, lies at 1 from
    every frame: `zeros` says which they are, (B, N) and (B, M).
    """

    @staticmethod
    def forward(ctx, x, y, pairs: Pairs, weight: float, zeros: Zeros, blocks: Blocks, blocks_with_grad: int):
        batch, sides = len(x), (x, y)
        rows, columns = (max(sides[block[side]].shape[1] for block in blocks) for side in (0, 1))
        cost = empty((len(blocks) * batch, rows, columns), like=x)
        norms = squared_norms(sides, weight, zeros)
        for area, _, ((norm_a, norm_b),) in _parts_for_sums(pairs, blocks, sides)(cost, pairs, blocks, norms):
            torch.add(norm_a.unsqueeze(-1), norm_b.unsqueeze(-2), out=area)
        for area, _, ((a, b),) in _parts_for_products(sides)(cost, pairs, blocks, sides):
            add_product(area, a, b.mT, -2 * weight)
        ctx.save_for_backward(x, y)
        ctx.call = (pairs, weight, blocks[:blocks_with_grad])
        ctx.mark_non_differentiable(cost)
        return cost[: blocks_with_grad * batch], cost

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_cost, _):
        frames = ctx.saved_tensors
        pairs, weight, blocks = ctx.call
        needs = ctx.needs_input_grad[:2]
        grads = tuple(empty(t.shape, like=t) if need else None for t, need in zip(frames, needs, strict=True))
        with torch.autocast(grad_cost.device.type, enabled=False):
            cut = _parts_for_sums(pairs, blocks, frames)
            for area, first, (own, into) in cut(grad_cost, pairs, blocks, frames, grads):
                for side, grad in enumerate((area, area.mT)):
                    if into[side] is None:
                        continue
                    if first:
                        torch.mul(own[side], 2 * weight * row_sum(grad), out=into[side])
                    else:
                        into[side].addcmul_(own[side], row_sum(grad), value=2 * weight)
            for area, _, (other, into) in _parts_for_products(frames)(grad_cost, pairs, blocks, frames, grads):
                for side, grad in enumerate((area, area.mT)):
                    if into[side] is not None:
                        add_product(into[side], grad, other[1 - side], -2 * weight)
        clear_padding(grads, pairs)
        return *grads, *(None,) * 5


def _on_host(t: torch.Tensor) -> bool:
    return t.device.type == "cpu"


def _parts_for_sums(pairs: Pairs, blocks: Blocks, frames: Sides) -> Callable[..., Iterator[Part]]:
    """How to cut what passes over memory once: by pair only where there is padding to leave out."""
    return parts_by_pair if _on_host(frames[0]) and has_padding(pairs, blocks, frames) else parts_by_block


def _parts_for_products(frames: Sides) -> Callable[..., Iterator[Part]]:
    """How to cut what the BLAS does: by pair wherever lengths can be read."""
    return parts_by_pair if _on_host(frames[0]) else parts_by_block


def _common_offset(x: torch.Tensor, y: torch.Tensor, pairs: Pairs) -> torch.Tensor:
    """Find what all frames of a pair have in common, (B, 1, D); 0 where that is not much.

    Distances do not change when it is taken off, but squares of large numbers would drown them. It need not be the
    mean of all frames; that of a few samples is as good.
    """
    batch = len(x)
    lengths = torch.stack([pairs.x_lengths[:batch], pairs.y_lengths[:batch]])[:, :, None]
    index = (lengths - 1) * torch.arange(_SAMPLES, device=x.device) // (_SAMPLES - 1)
    rows = torch.arange(batch, device=x.device)[:, None]
    # Lengths on a device have not been checked.
    sides = [frames[rows, own.clamp(0, frames.shape[1] - 1)] for frames, own in zip((x, y), index, strict=True)]
    count = len(sides) * _SAMPLES
    offset = (sides[0].sum(1) + sides[1].sum(1)) / count
    square = torch.linalg.vector_norm(offset, dim=-1).square()
    mean_square = sum(torch.linalg.vector_norm(side, dim=(1, 2)).square() for side in sides) / count
    large = square > _LARGE_OFFSET * (mean_square - square)
    return torch.where(large[:, None], offset, 0.0)[:, None]


def _l2_normalized(frames: torch.Tensor) -> torch.Tensor:
    """Frames of norm 1; those of zeros stay zeros, with gradient 0."""
    norm = torch.linalg.vector_norm(frames, dim=-1, keepdim=True)
    return frames / norm.masked_fill(norm <= _ZERO_NORM, torch.inf)


def clear_padding(grads: tuple[torch.Tensor | None, ...], pairs: Pairs) -> None:
    """Zero the gradients beyond the lengths where they were not computed: on the CPU."""
    for grad, lengths in zip(grads, (pairs.x_lengths, pairs.y_lengths), strict=True):
        if grad is not None and _on_host(grad):
            for pair, length in enumerate(lengths[: len(grad)].tolist()):
                if length < grad.shape[1]:
                    grad[pair, length:] = 0


def _without_padding(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Zero the frames beyond the lengths: 0 * NaN would reach the gradient of the valid ones."""
    padding = torch.arange(x.shape[1], device=x.device) >= lengths[:, None]
    return x.masked_fill(padding[:, :, None], 0.0)
