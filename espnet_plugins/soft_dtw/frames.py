"""Soft-DTW of frames on the CPU: costs and their gradient never exist as such."""

from types import ModuleType
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from espnet_plugins.soft_dtw.buffers import empty
from espnet_plugins.soft_dtw.cost_layout import Sides, has_padding, parts_by_block, parts_by_pair
from espnet_plugins.soft_dtw.distance import Zeros, clear_padding, prepare, squared_norms
from espnet_plugins.soft_dtw.pairs import Blocks, Pairs
from espnet_plugins.soft_dtw.products import add_product


def values_of_frames(
    x: torch.Tensor,
    y: torch.Tensor,
    pairs: Pairs,
    distance: str,
    gamma: float,
    backend: ModuleType,
    blocks: Blocks = ((0, 1),),
    blocks_with_grad: int = 1,
) -> torch.Tensor:
    """Values of all pairs, by a backend that has `Parts`.

    Args:
        x: as in `pairwise_cost`.
        y: likewise.
        pairs: likewise.
        distance: likewise.
        gamma: smoothing, above 0.
        backend: the backend.
        blocks: as in `pairwise_cost`.
        blocks_with_grad: likewise.

    Returns:
        (len(blocks) * B,) values.
    """
    if not (torch.is_grad_enabled() and (x.requires_grad or y.requires_grad)):
        blocks_with_grad = 0
    with torch.autocast("cpu", enabled=False):
        x, y, weight, zeros = prepare(x, y, pairs, distance, backend.any_large_offset)
        return FramesFunction.apply(x, y, pairs, weight, zeros, blocks, blocks_with_grad, gamma, backend)


class FramesFunction(torch.autograd.Function):
    """Frames to values: what `PairwiseCost` and `SoftDTWFunction` do in turn, in fewer passes over memory.

    The backend takes the products of frames, adds the norms where it reads them, and gives the gradient in parts that
    hold all that is not zero.
    """

    @staticmethod
    def forward(
        ctx,
        x: torch.Tensor,
        y: torch.Tensor,
        pairs: Pairs,
        weight: float,
        zeros: Zeros,
        blocks: Blocks,
        blocks_with_grad: int,
        gamma: float,
        backend: ModuleType,
    ) -> torch.Tensor:
        sides = x, y
        products = empty((pairs.cells(len(pairs)),), like=x)
        cut = parts_by_pair if has_padding(pairs, blocks, sides) else parts_by_block
        for area, _, ((a, b),) in cut(products, pairs, blocks, sides):
            torch.matmul(a, b.mT, out=area)
        norms = squared_norms(sides, weight, zeros)
        terms = *(_cat([norms[block[side]] for block in blocks]) for side in (0, 1)), -2 * weight
        value, saved = backend.forward(products, pairs, gamma, blocks_with_grad * len(x), terms)
        ctx.save_for_backward(x, y, *saved)
        ctx.call = pairs, weight, blocks[:blocks_with_grad], gamma, backend
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: torch.Tensor):
        x, y, *saved = ctx.saved_tensors
        pairs, weight, blocks, gamma, backend = ctx.call
        frames, batch = (x, y), len(x)
        needs = ctx.needs_input_grad[:2]
        grads = tuple(empty(t.shape, like=t) if need else None for t, need in zip(frames, needs, strict=True))
        with torch.autocast("cpu", enabled=False):
            parts = backend.Parts(saved, pairs, gamma, grad[: len(blocks) * batch].contiguous(), -2 * weight)
            done = needs[0] and parts.multiply(x, y, grads[0], 2 * weight)
            if not done or len(blocks) > 1 or needs[1]:
                _multiply(parts, pairs, blocks, frames, grads, weight, done=done)
        clear_padding(grads, pairs)
        return *grads, *(None,) * 7


def _cat(rows: list[torch.Tensor]) -> torch.Tensor:
    """Rows of several lengths below one another."""
    if len(rows) == 1:
        return rows[0]
    longest = max(part.shape[1] for part in rows)
    return torch.cat([pad(part, (0, longest - part.shape[1])) for part in rows])


def _multiply(
    parts: Any, pairs: Pairs, blocks: Blocks, frames: Sides, grads: tuple, weight: float, *, done: bool
) -> None:
    """Gradients of frames from alignments, but for the rows of the first block where these are `done`."""
    sums, of_pairs = parts.sums * (2 * weight), parts.of_pairs()
    for pair, (area, first, (own, into)) in enumerate(
        parts_by_pair(parts.cells, pairs, blocks, frames, (grads[0], grads[1]))
    ):
        into = None if first and done else into[0], into[1]
        for side, target in enumerate(into):
            if target is None:
                continue
            weights = 2 * weight * _column_sums(area, of_pairs[pair]) if side else sums[pair, : len(own[0]), None]
            if first:
                torch.mul(own[side], weights, out=target)
            else:
                target.addcmul_(own[side], weights)
        for rows, columns in of_pairs[pair]:
            part = area[rows, columns]
            if into[0] is not None:
                add_product(into[0][rows], part, own[1][columns], -2 * weight)
            if into[1] is not None:
                add_product(into[1][columns], part.mT, own[0][rows], -2 * weight)


def _column_sums(alignment: torch.Tensor, parts: list[tuple[slice, slice]]) -> torch.Tensor:
    sums = alignment.new_zeros(alignment.shape[1])
    for rows, columns in parts:
        sums[columns] += alignment[rows, columns].sum(0)
    return sums[:, None]
