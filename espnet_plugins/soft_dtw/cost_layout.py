"""Where the cost matrices of a batch lie, and how they are cut into parts to work on at a time."""

from collections.abc import Iterator
from itertools import accumulate
from operator import mul
from typing import Any

import torch

from espnet_plugins.soft_dtw.pairs import Blocks, Pairs

# Two tensors of a batch, one for x and one for y, or None for a side that is not asked for, which only the callers
# that leave it out meet.
Sides = tuple[Any, Any]
# A part of the costs, whether it belongs to the first block (the one with both x and y), and its share of each operand.
Part = tuple[torch.Tensor, bool, tuple[Sides, ...]]


class PaddedCosts:
    """Costs in (P, N, M): each matrix in the upper left corner of one of the largest size.

    Args:
        costs: The tensor that holds them.
    """

    def __init__(self, costs: torch.Tensor) -> None:
        self._costs = costs

    def pair(self, pair: int, n: int, m: int) -> torch.Tensor:
        """The (n, m) matrix of a pair at its own lengths."""
        return self._costs[pair, :n, :m]

    def block(self, first: int, batch: int, n: int, m: int) -> torch.Tensor:
        """The (batch, n, m) matrices of a block of pairs, padding and all."""
        return self._costs[first : first + batch, :n, :m]


class PackedCosts:
    """Costs in (cells,): the matrices at their own lengths, one behind the other.

    Args:
        costs: The tensor that holds them.
        pairs: Lengths, on the host.
    """

    def __init__(self, costs: torch.Tensor, pairs: Pairs) -> None:
        self._costs = costs
        self._starts = [0, *accumulate(map(mul, pairs.x_lengths.tolist(), pairs.y_lengths.tolist()))]

    def pair(self, pair: int, n: int, m: int) -> torch.Tensor:
        """The (n, m) matrix of a pair at its own lengths."""
        return self._costs[self._starts[pair] :][: n * m].view(n, m)

    def block(self, first: int, batch: int, n: int, m: int) -> torch.Tensor:
        """The (batch, n, m) matrices of a block of pairs that all have these lengths."""
        return self._costs[self._starts[first] :][: batch * n * m].view(batch, n, m)


def arrange(costs: torch.Tensor, pairs: Pairs) -> PaddedCosts | PackedCosts:
    """Tell how costs lie from their shape."""
    return PackedCosts(costs, pairs) if costs.dim() == 1 else PaddedCosts(costs)


def has_padding(pairs: Pairs, blocks: Blocks, frames: Sides) -> bool:
    """Tell whether a pair of these blocks is shorter than its tensors; for lengths on the host."""
    batch = len(frames[0])
    for lengths, side in zip((pairs.x_lengths, pairs.y_lengths), zip(*blocks, strict=True), strict=True):
        sizes = [frames[k].shape[1] for k in side for _ in range(batch)]
        if lengths[: len(sizes)].tolist() != sizes:
            return True
    return False


def parts_by_block(costs: torch.Tensor, pairs: Pairs, blocks: Blocks, *operands: Sides) -> Iterator[Part]:
    """Cut into blocks of pairs, padding and all.

    For devices where lengths cannot be read without waiting, and on the CPU for batches without padding: each
    operation may have to wait for a thread, so a few large ones are faster.

    Args:
        costs: In either form.
        pairs: Their lengths.
        blocks: Which two sides of each operand the pairs of a block lie between.
        operands: What is cut with them; the first has both sides.
    """
    layout, batch = arrange(costs, pairs), len(operands[0][0])
    for k, block in enumerate(blocks):
        sides = tuple((operand[block[0]], operand[block[1]]) for operand in operands)
        rows, columns = (side.shape[1] for side in sides[0])
        yield layout.block(k * batch, batch, rows, columns), k == 0, sides


def parts_by_pair(costs: torch.Tensor, pairs: Pairs, blocks: Blocks, *operands: Sides) -> Iterator[Part]:
    """Cut into single pairs at their own lengths: nothing is spent on padding, and padding is never read.

    Args:
        costs: In either form.
        pairs: Their lengths, on the host.
        blocks: Which two sides of each operand the pairs of a block lie between.
        operands: What is cut with them; the first has both sides.
    """
    layout, batch = arrange(costs, pairs), len(operands[0][0])
    lengths = list(zip(pairs.x_lengths.tolist(), pairs.y_lengths.tolist(), strict=True))
    for k, block in enumerate(blocks):
        sides = [(operand[block[0]], operand[block[1]]) for operand in operands]
        for row in range(batch):
            own = lengths[k * batch + row]
            cut = tuple(
                (None if a is None else a[row, : own[0]], None if b is None else b[row, : own[1]]) for a, b in sides
            )
            yield layout.pair(k * batch + row, *own), k == 0, cut
