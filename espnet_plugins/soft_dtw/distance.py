"""Costs between all frames of two batches of sequences, by matrix products."""

from collections.abc import Iterator

import torch
from torch.autograd.function import once_differentiable

from espnet_plugins.soft_dtw.buffers import empty
from espnet_plugins.soft_dtw.pairs import Pairs

DISTANCES = ("sqeuclidean", "cosine")

# Rows whose columns are found together, and the share of a matrix above which it is multiplied as one.
_SPAN = 128
_WORTHWHILE = 0.7

# Which two of (x, y) the cost matrices of a block of pairs lie between.
Blocks = tuple[tuple[int, int], ...]


def pairwise_cost(
    x: torch.Tensor,
    y: torch.Tensor,
    pairs: Pairs,
    distance: str,
    blocks: Blocks = ((0, 1),),
    kept: int = 1,
    packed: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cost of pairing each frame with each frame of the other sequence.

    Args:
        x: (B, N, D) frames; what lies beyond a length is never used.
        y: (B, M, D) frames.
        pairs: lengths of all len(blocks) * B pairs, block by block, on the device of x.
        distance: "sqeuclidean", |x_i - y_j|^2, or "cosine", 1 - cos(x_i, y_j).
        blocks: ((0, 1),) for x against y; (0, 0) stands for x against itself, and so on.
        kept: how many leading blocks a gradient goes through.
        packed: leave padding out, only on the CPU: one row that holds the matrix of each pair at its own lengths,
            one behind the other.

    Returns:
        The (kept * B, N, M) or (cells,) costs that have a gradient, and all (len(blocks) * B, N, M) or (cells,), of
        which they are the first, without. Cells beyond the lengths hold no meaning.
    """
    if not _on_host(x) or distance == "cosine":
        x, y = _without_padding(x, pairs.x_lengths[: len(x)]), _without_padding(y, pairs.y_lengths[: len(y)])
    if distance == "cosine":
        x, y = (torch.nn.functional.normalize(frames, dim=-1) for frames in (x, y))
    with torch.autocast(x.device.type, enabled=False):
        return PairwiseCost.apply(x, y, pairs, distance == "sqeuclidean", blocks, kept, packed)


class PairwiseCost(torch.autograd.Function):
    """|a|^2 + |b|^2 - 2ab, or 1 - ab, between frames, assembled in the buffer of the product itself."""

    @staticmethod
    def forward(ctx, x, y, pairs: Pairs, squared: bool, blocks: Blocks, kept: int, packed: bool):
        if packed:
            cost = empty((pairs.cells(len(pairs)),), like=x)
        else:
            sides = [[(x, y)[block[side]].shape[1] for block in blocks] for side in (0, 1)]
            cost = empty((len(blocks) * len(x), max(sides[0]), max(sides[1])), like=x)
        if squared:
            # Faster than sums of squares, which would be written out first.
            norms = [torch.linalg.vector_norm(t, dim=-1).square_() for t in (x, y)]
            for area, _, (norm_a, norm_b) in _parts(cost, pairs, blocks, norms, split=_ragged(pairs, blocks, (x, y))):
                torch.add(norm_a.unsqueeze(-1), norm_b.unsqueeze(-2), out=area)
        else:
            cost.fill_(1.0)
        for area, _, (a, b) in _parts(cost, pairs, blocks, (x, y), split=_on_host(x)):
            _add_product(area, a, b.mT, -2 if squared else -1)
        ctx.save_for_backward(x, y)
        ctx.call = (pairs, squared, blocks[:kept])
        ctx.mark_non_differentiable(cost)
        return cost[: pairs.cells(kept * len(x)) if packed else kept * len(x)], cost

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, _):
        frames = ctx.saved_tensors
        pairs, squared, blocks = ctx.call
        needs = ctx.needs_input_grad[:2]
        grads = [empty(t.shape, like=t) if need else None for t, need in zip(frames, needs, strict=True)]
        with torch.autocast(grad.device.type, enabled=False):
            split = _ragged(pairs, blocks, frames)
            for area, first, own, into in _parts(grad, pairs, blocks, frames, grads, split=split):
                for side, slope in enumerate((area, area.mT)):
                    if into[side] is None:
                        continue
                    if squared and first:
                        torch.mul(own[side], 2 * _row_sum(slope), out=into[side])
                    elif squared:
                        into[side].addcmul_(own[side], _row_sum(slope), value=2)
                    elif first:
                        into[side].zero_()
            for area, _, other, into in _parts(grad, pairs, blocks, frames, grads, split=_on_host(grad)):
                for side, slope in enumerate((area, area.mT)):
                    if into[side] is None:
                        continue
                    for rows, columns in _spans(slope):
                        frames_met = other[1 - side][..., columns, :]
                        _add_product(
                            into[side][..., rows, :], slope[..., rows, columns], frames_met, -2 if squared else -1
                        )
        _clear_padding(grads, pairs)
        return *grads, None, None, None, None, None


def _on_host(t: torch.Tensor) -> bool:
    return t.device.type == "cpu"


def _ragged(pairs: Pairs, blocks: Blocks, frames: tuple[torch.Tensor, ...]) -> bool:
    """Whether a pair of these blocks has padding, as far as that can be told without waiting."""
    if not _on_host(frames[0]):
        return False
    count = len(blocks) * len(frames[0])
    sides = zip((pairs.x_lengths, pairs.y_lengths), zip(*blocks, strict=True), strict=True)
    return any(
        (lengths[:count].view(len(blocks), -1) != torch.tensor([[frames[k].shape[1]] for k in side])).any()
        for lengths, side in sides
    )


def _parts(cost: torch.Tensor, pairs: Pairs, blocks: Blocks, *operands, split: bool) -> Iterator[tuple]:
    """Cut cost, and the two sides of operands that belong to it, into parts to work on at a time.

    Gives the part of cost, whether it belongs to the first block (which has both operands), and the sides.

    Split, a part is one pair at its own lengths: nothing is spent on padding, padding is never read, and a pair
    gives the same bits in every batch. Otherwise it is a block of pairs, padding and all: for devices where the
    lengths cannot be read without waiting, and on the CPU, where a batch has no padding, for what is as fast that
    way and gives the same bits, since each operation may have to wait for a thread.
    """
    batch = len(operands[0][0])
    packed = cost.dim() == 1
    lengths = list(zip(pairs.x_lengths.tolist(), pairs.y_lengths.tolist(), strict=True)) if split else []
    start = 0
    for k, block in enumerate(blocks):
        sides = [tuple(operand[side] for side in block) for operand in operands]
        if not split:
            rows, columns = (side.shape[1] for side in sides[0])
            area = cost[start:][: batch * rows * columns] if packed else cost[k * batch :][:batch, :rows, :columns]
            yield area.view(batch, rows, columns) if packed else area, k == 0, *sides
            start += batch * rows * columns
            continue
        for pair in range(batch):
            n, m = lengths[k * batch + pair]
            parts = (
                tuple(None if t is None else t[pair, :length] for t, length in zip(side, (n, m), strict=True))
                for side in sides
            )
            area = cost[start:][: n * m].view(n, m) if packed else cost[k * batch + pair, :n, :m]
            yield area, k == 0, *parts
            start += n * m


def _row_sum(slope: torch.Tensor) -> torch.Tensor:
    # A single row or column is summed in an order that depends on its stride.
    slope = slope.contiguous() if 1 in slope.shape[-2:] else slope
    return slope.sum(-1, keepdim=True)


def _spans(slope: torch.Tensor) -> list[tuple[slice, slice]]:
    """Rows and columns of the parts of the gradient of a pair that hold all that is not zero.

    The smaller gamma, the narrower the path that an alignment follows, and what lies off it need not be multiplied.
    Decided from the values of the pair alone, so that it gets the same bits in every batch.
    """
    n, m = slope.shape[-2:]
    everything = [(slice(0, n), slice(0, m))]
    if slope.dim() == 3 or n < 2 * _SPAN:
        return everything
    spans = []
    # All values of a pair have one sign: a sum is zero where each of them is.
    used = torch.stack([rows.sum(0) for rows in slope.split(_SPAN)]) != 0
    for k, columns in enumerate(used.numpy()):
        if columns.any():
            first, last = columns.argmax(), m - columns[::-1].argmax()
            spans.append((slice(k * _SPAN, min((k + 1) * _SPAN, n)), slice(int(first), int(last))))
    area = sum((rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in spans)
    return spans if area < _WORTHWHILE * n * m else everything


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
        if grad is not None and _on_host(grad):
            for pair, length in enumerate(lengths[: len(grad)].tolist()):
                grad[pair, length:] = 0


def _without_padding(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Zero the frames beyond the lengths: 0 * NaN would reach the gradient of the valid ones."""
    padding = torch.arange(x.shape[1], device=x.device) >= lengths[:, None]
    return x.masked_fill(padding[:, :, None], 0.0)
