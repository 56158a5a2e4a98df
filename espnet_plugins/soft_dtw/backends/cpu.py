"""Soft-DTW on the CPU, compiled by Numba: vector arithmetic along anti-diagonals, all cores also for one pair."""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from espnet_plugins.soft_dtw.backends import cpu_kernels as kernels
from espnet_plugins.soft_dtw.buffers import empty
from espnet_plugins.soft_dtw.pairs import Pairs

# Rows that are multiplied at a time, all with the columns that one of them meets.
_ROWS = 64
# Share of the matrices above which each is multiplied as one, and that below which a BLAS is too much.
_WORTHWHILE = 0.6
_NARROW = 0.4
# Below this many cells, waking a second thread takes longer than the work.
_CELLS_PER_THREAD = 20_000
# A waiting thread gives way through a POSIX call; elsewhere one thread does it all and never waits.
_MAY_WAIT = os.name == "posix"

# Terms for rows, (B, N), and columns, (B, M), and what the given numbers are multiplied by: the sum is the cost.
Terms = tuple[torch.Tensor, torch.Tensor, float]

_pool: ThreadPoolExecutor | None = None


def forward(
    cost: torch.Tensor, pairs: Pairs, gamma: float, num_with_grad: int, terms: Terms | None = None
) -> tuple[torch.Tensor, tuple]:
    """Value of each pair and what `backward` needs of the first ones.

    Args:
        cost: (B, N, M), or (cells,) for the matrices of all pairs at their own lengths; float32 or float64.
        pairs: lengths and band, on the CPU.
        gamma: smoothing, above 0.
        num_with_grad: leading pairs that will go through `backward`.
        terms: what the costs are made of, where `cost` is a part of it.

    Returns:
        (B,) values, NaN where a cost that counts is not finite, and what `backward` takes as
        `saved`.
    """
    geometry = _geometry(pairs)
    table = kernels.strip_table(*geometry, num_with_grad)
    with_grad = table[table[:, kernels.PAIR] < num_with_grad]
    chunks = int(-(-with_grad[:, kernels.STEPS] // kernels.CHUNK).sum())
    stored = empty((chunks, kernels.ABOVE + 2 * kernels.CHUNK), like=cost)
    values = np.zeros(len(pairs))
    cost = cost.detach().contiguous()
    border = np.full((len(pairs), geometry.m.max(), 2), kernels.MASKED_COST)
    border[..., 1] = 1
    queue = kernels.Queue(table, np.zeros(1, np.int64), border, np.zeros((len(pairs), len(table)), np.int64))
    if terms is None:
        terms = cost.new_zeros(len(pairs), geometry.n.max()), cost.new_zeros(len(pairs), geometry.m.max()), 1.0
    rows, columns, factor = terms
    costs = _costs(cost, rows, columns, factor, geometry, gamma)
    _run(table, kernels.forward_strips, costs, geometry, queue, num_with_grad, values, stored.numpy())
    value = torch.from_numpy(values * (gamma * math.log(2))).to(cost.dtype)
    return value, (cost, rows, columns, stored, torch.from_numpy(with_grad)) if num_with_grad else ()


def backward(
    saved: tuple[torch.Tensor, ...], shape: torch.Size, pairs: Pairs, gamma: float, grad: torch.Tensor
) -> torch.Tensor:
    """Gradient with respect to the costs of the leading pairs.

    Args:
        saved: what `forward` returned.
        shape: shape of the costs of these pairs, in either form.
        pairs: as in `forward`.
        gamma: as in `forward`.
        grad: (num_with_grad,) gradient that reaches each value.

    Returns:
        Alignment times gradient, 0 outside lengths and band, in that shape.
    """
    return _backward(saved, shape, pairs, gamma, grad, factor=1.0, dense=True)[0]


def any_large_offset(x: torch.Tensor, y: torch.Tensor, pairs: Pairs, *, samples: int, ratio: float) -> bool:
    """Tell whether some pair's frames have a large offset in common; see `distance.prepare`.

    Args:
        x: (B, N, D) frames.
        y: (B, M, D) frames.
        pairs: lengths of the leading B pairs.
        samples: frames of each side to look at.
        ratio: how many times their spread, squared, their mean must be, squared.

    Returns:
        Whether one has.
    """
    sides = x.detach().contiguous().numpy(), y.detach().contiguous().numpy()
    return kernels.any_large_offset(sides, (pairs.x_lengths.numpy(), pairs.y_lengths.numpy()), samples, ratio)


class Parts:
    """What `backward` gives, without what is zero in it: most of it, unless gamma is large.

    Args:
        saved: what `forward` returned for costs in one row.
        pairs: as in `forward`.
        gamma: as in `forward`.
        grad: as in `backward`.
        factor: as in the terms given to `forward`.

    Attributes:
        cells: (cells,) alignments times gradient, uninitialized in places that count as 0.
        sums: (num_with_grad, N) sums of their rows.
    """

    def __init__(
        self, saved: tuple[torch.Tensor, ...], pairs: Pairs, gamma: float, grad: torch.Tensor, factor: float
    ) -> None:
        self._geometry, count = _geometry(pairs), pairs.cells(len(grad))
        self.cells, sums, self._table, self._bounds, self._spans = _backward(
            saved, torch.Size([count]), pairs, gamma, grad, factor, dense=False
        )
        self.sums = torch.from_numpy(sums)
        self._matrices = _matrices(self.cells, self.cells.shape, self._geometry)
        rows = np.minimum(self._geometry.n[self._table[:, kernels.PAIR]] - self._table[:, kernels.ROW], kernels.LANES)
        self._share = (rows * (self._spans[:, 1] - self._spans[:, 0])).sum() / count

    def multiply(self, own: torch.Tensor, other: torch.Tensor, into: torch.Tensor, factor: float) -> bool:
        """Do the work of the leading pairs' rows, where the alignments are narrow.

        Args:
            own: (B, N, D) frames.
            other: (B, M, D) frames.
            into: (B, N, D), receives factor times the sum over j of alignment[b, i, j] * (own[b, i] - other[b, j])
                within the lengths.
            factor: that factor.

        Returns:
            Whether it was done.
        """
        if self._share > _NARROW:
            return False
        frames = own.detach().contiguous().numpy(), other.detach().contiguous().numpy(), into.numpy()
        strips = self._matrices, self._geometry, self._table, self._bounds, self.sums.numpy()
        number, counter = frames[0].dtype.type(factor), np.zeros(1, np.int64)
        _run(self._table, kernels.multiply_strips, *strips, number, *frames, counter)
        return True

    def of_pairs(self) -> list[list[tuple[slice, slice]]]:
        """For each pair rows and columns of the parts that hold all that is not zero."""
        rows = _ROWS if self._share < _WORTHWHILE else -(-int(self._geometry.n.max()) // _ROWS) * _ROWS
        parts: list[list[tuple[slice, slice]]] = [[] for _ in range(len(self.sums))]
        for pair, *edges in kernels.join_spans(self._matrices, self._geometry, self._table, self._spans, rows).tolist():
            parts[pair].append((slice(*edges[:2]), slice(*edges[2:])))
        return parts


def _backward(saved, shape, pairs: Pairs, gamma: float, grad: torch.Tensor, factor: float, *, dense: bool):
    cost, rows, columns, stored, strips = saved
    geometry, table = _geometry(pairs), strips.numpy()
    alignment = empty(shape, like=stored)
    number = stored.numpy().dtype
    queue = kernels.Queue(
        table,
        counter=np.zeros(1, np.int64),
        border=np.zeros((len(pairs), geometry.m.max(), 1), number),
        progress=np.full((len(pairs), len(table)), geometry.m.max() + 1, np.int64),
    )
    costs = _costs(cost, rows, columns, factor, geometry, gamma)
    longest = geometry.n[: len(grad)].max()
    sums, bounds = np.zeros((len(grad), longest), number), np.zeros((len(grad), longest, 2), np.int64)
    spans = np.zeros((len(table), 2), np.int64)
    matrices = _matrices(alignment, shape, geometry)
    arguments = matrices, costs, geometry, grad.numpy(), queue, stored.numpy(), dense, sums, bounds, spans
    _run(table, kernels.backward_strips, *arguments)
    return alignment, sums, table, bounds, spans


def _geometry(pairs: Pairs) -> kernels.Geometry:
    return kernels.Geometry(pairs.x_lengths.numpy(), pairs.y_lengths.numpy(), pairs.band_half_width.numpy())


def _costs(
    cost: torch.Tensor,
    rows: torch.Tensor,
    columns: torch.Tensor,
    factor: float,
    geometry: kernels.Geometry,
    gamma: float,
) -> kernels.Costs:
    """Costs in units of gamma * ln 2."""
    matrices = _matrices(cost, cost.shape, geometry)
    scale = 1 / (gamma * math.log(2))
    number = matrices.cells.dtype.type
    return kernels.Costs(matrices, number(factor * scale), number(scale), rows.numpy(), columns.numpy())


def _matrices(cells: torch.Tensor, shape: torch.Size, geometry: kernels.Geometry) -> kernels.Matrices:
    """Say where the matrix of each pair lies."""
    pairs = len(geometry.n)
    if len(shape) == 1:
        begin, stride = np.concatenate([[0], np.cumsum(geometry.n * geometry.m)]), geometry.m
    else:
        begin, stride = np.arange(pairs + 1) * (shape[1] * shape[2]), np.full(pairs, shape[2])
    return kernels.Matrices(cells.view(-1).numpy(), begin, stride)


def _run(table: np.ndarray, work: Any, *args: Any) -> None:
    """Let as many threads as torch may use draw strips until none is left."""
    cells = int(table[:, kernels.STEPS].sum()) * kernels.LANES
    threads = min(torch.get_num_threads(), len(table), 1 + cells // _CELLS_PER_THREAD) if _MAY_WAIT else 1
    # A pool forgets a task only when its thread next has the interpreter, or gets to a cancelled one: until then the
    # matrices would be num_with_grad.
    tasks = [[args] for _ in range(threads - 1)]
    helpers = [_threads().submit(_work_off, work, task) for task in tasks]
    work(*args)
    for helper, task in zip(helpers, tasks, strict=True):
        if helper.cancel():
            task.clear()
        else:
            helper.result()


def _work_off(work: Any, task: list[tuple]) -> None:
    work(*task.pop())


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(thread_name_prefix="soft_dtw")
    return _pool


def _forget_threads() -> None:
    """Threads do not survive a fork."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
