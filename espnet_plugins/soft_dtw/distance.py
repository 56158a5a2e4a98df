"""Costs between all frames of two batches of sequences, by matrix products."""

from collections.abc import Iterator

import torch
from torch.autograd.function import once_differentiable

from espnet_plugins.soft_dtw.buffers import empty
from espnet_plugins.soft_dtw.pairs import Pairs

DISTANCES = ("sqeuclidean", "cosine")

# Which two of (x, y) the cost matrices of a block of pairs lie between.
Blocks = tuple[tuple[int, int], ...]


def pairwise_cost(
    x: torch.Tensor, y: torch.Tensor, pairs: Pairs, distance: str, blocks: Blocks = ((0, 1),), kept: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cost of pairing each frame with each frame of the other sequence.

    Args:
        x: (B, N, D) frames; what lies beyond a length is never used.
        y: (B, M, D) frames.
        pairs: lengths of all len(blocks) * B pairs, block by block, on the device of x.
        distance: "sqeuclidean", |x_i - y_j|^2, or "cosine", 1 - cos(x_i, y_j).
        blocks: ((0, 1),) for x against y; (0, 0) stands for x against itself, and so on.
        kept: how many leading blocks a gradient goes through.

    Returns:
        The (kept * B, N, M) costs that have a gradient, and all (len(blocks) * B, N, M), of which they are the
        first, without. Cells beyond the lengths hold no meaning.
    """
    if x.device.type != "cpu" or distance == "cosine":
        x, y = _without_padding(x, pairs.x_lengths[: len(x)]), _without_padding(y, pairs.y_lengths[: len(y)])
    if distance == "cosine":
        x, y = (torch.nn.functional.normalize(frames, dim=-1) for frames in (x, y))
    with torch.autocast(x.device.type, enabled=False):
        return PairwiseCost.apply(x, y, pairs, distance == "sqeuclidean", blocks, kept)


class PairwiseCost(torch.autograd.Function):
    """|a|^2 + |b|^2 - 2ab, or 1 - ab, between frames, assembled in the buffer of the product itself."""

    @staticmethod
    def forward(ctx, x, y, pairs: Pairs, squared: bool, blocks: Blocks, kept: int):
        batch = len(x)
        sides = [[(x, y)[block[side]].shape[1] for block in blocks] for side in (0, 1)]
        cost = empty((len(blocks) * batch, max(sides[0]), max(sides[1])), like=x)
        for _, area, (a, b) in _areas(cost, pairs, blocks, (x, y)):
            if squared:
                torch.add(_squared_norm(a).unsqueeze(-1), _squared_norm(b).unsqueeze(-2), out=area)
            else:
                area.fill_(1.0)
            _add_product(area, a, b.mT, -2 if squared else -1)
        ctx.save_for_backward(x, y)
        ctx.call = (pairs, squared, blocks[:kept])
        ctx.mark_non_differentiable(cost)
        return cost[: kept * batch], cost

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, _):
        operands = ctx.saved_tensors
        pairs, squared, blocks = ctx.call
        needs = ctx.needs_input_grad[:2]
        grads = [empty(t.shape, like=t) if need else None for t, need in zip(operands, needs, strict=True)]
        with torch.autocast(grad.device.type, enabled=False):
            for k, area, (a, b), (grad_a, grad_b) in _areas(grad, pairs, blocks, operands, grads):
                # A single row or column is summed in an order that depends on its stride.
                slope_a = area.contiguous() if 1 in area.shape else area
                for own, other, into, slope in ((a, b, grad_a, slope_a), (b, a, grad_b, slope_a.mT)):
                    if into is None:
                        continue
                    first = k == 0
                    if squared and first:
                        torch.mul(own, 2 * slope.sum(-1, keepdim=True), out=into)
                    elif squared:
                        into.addcmul_(own, slope.sum(-1, keepdim=True), value=2)
                    elif first:
                        into.zero_()
                    _add_product(into, slope, other, -2 if squared else -1)
        _clear_padding(grads, pairs)
        return *grads, None, None, None, None


def _areas(cost: torch.Tensor, pairs: Pairs, blocks: Blocks, *operands) -> Iterator[tuple]:
    """Cut cost, and the two sides of operands that belong to it, into parts to work on at a time.

    Gives the number of the block first. The first block has both operands.

    On the CPU a part is one pair at its own lengths: nothing is spent on padding, padding is never read, and a
    pair gives the same bits in every batch. Elsewhere it is a block of pairs, since lengths live on the device.
    """
    batch = len(cost) // len(blocks)
    for k, block in enumerate(blocks):
        area = cost[k * batch : (k + 1) * batch]
        sides = [tuple(operand[side] for side in block) for operand in operands]
        if cost.device.type != "cpu":
            rows, columns = (side.shape[1] for side in sides[0])
            yield k, area[:, :rows, :columns], *sides
            continue
        for pair in range(batch):
            lengths = [int(t[k * batch + pair]) for t in (pairs.x_lengths, pairs.y_lengths)]
            parts = (
                tuple(None if t is None else t[pair, :length] for t, length in zip(side, lengths, strict=True))
                for side in sides
            )
            yield k, area[pair, : lengths[0], : lengths[1]], *parts


def _squared_norm(x: torch.Tensor) -> torch.Tensor:
    # Faster than a sum of squares, which would be written out first.
    return torch.linalg.vector_norm(x, dim=-1).square_()


def _add_product(into: torch.Tensor, a: torch.Tensor, b: torch.Tensor, factor: float) -> None:
    """Add factor * a @ b."""
    if into.dim() == 3:
        into.baddbmm_(a, b, alpha=factor)
    elif 1 in into.shape:
        # For a vector, BLAS sums in an order that depends on strides and addresses, hence on the batch.
        into.add_((a.contiguous().unsqueeze(-1) * b.contiguous()).sum(1), alpha=factor)
    else:
        into.addmm_(a, b, alpha=factor)


def _clear_padding(grads: list[torch.Tensor | None], pairs: Pairs) -> None:
    """Zero the gradients beyond the lengths where they were not computed: on the CPU."""
    for grad, lengths in zip(grads, (pairs.x_lengths, pairs.y_lengths), strict=True):
        if grad is not None and grad.device.type == "cpu":
            for pair, length in enumerate(lengths[: len(grad)].tolist()):
                grad[pair, length:] = 0


def _without_padding(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Zero the frames beyond the lengths: 0 * NaN would reach the gradient of the valid ones."""
    padding = torch.arange(x.shape[1], device=x.device) >= lengths[:, None]
    return x.masked_fill(padding[:, :, None], 0.0)
