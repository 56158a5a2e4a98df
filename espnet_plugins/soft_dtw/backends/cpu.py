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

# What pairwise_cost may leave padding out for.
PACKED = True
# Below this many cells, waking a second thread takes longer than the work.
_CELLS_PER_THREAD = 20_000
# A waiting thread gives way through a POSIX call; elsewhere one thread does it all and never waits.
_MAY_WAIT = os.name == "posix"

_pool: ThreadPoolExecutor | None = None


def forward(cost: torch.Tensor, pairs: Pairs, gamma: float, num_with_grad: int) -> tuple[torch.Tensor, tuple]:
    """Value of each pair and what `backward` needs of the first ones.

    Args:
        cost: (B, N, M), or (cells,) for the matrices of all pairs at their own lengths; float32 or float64.
        pairs: lengths and band, on the CPU.
        gamma: smoothing, above 0.
        num_with_grad: leading pairs that will go through `backward`.

    Returns:
        (B,) values, NaN where a cost that counts is not finite, and what `backward` takes as
        `saved`.
    """
    geometry = _geometry(pairs)
    table = kernels.strip_table(*geometry, num_with_grad)
    with_grad = table[table[:, kernels.PAIR] < num_with_grad]
    steps = int(with_grad[:, kernels.STEPS].sum())
    chunks = int(-(-with_grad[:, kernels.STEPS] // kernels.CHUNK).sum())
    stored, base = empty((steps, kernels.LANES + 1), like=cost), cost.new_empty(chunks)
    values = np.zeros(len(pairs))
    costs = _matrices(cost.detach().contiguous(), cost.shape, geometry)
    queue = kernels.Queue(
        table,
        counter=np.zeros(1, np.int64),
        border=np.full((len(pairs), geometry.m.max()), kernels.MASKED_COST),
        progress=np.zeros((len(pairs), len(table)), np.int64),
    )
    scale = costs.cells.dtype.type(1 / (gamma * math.log(2)))
    saved = kernels.Saved(stored.numpy(), base.numpy())
    _run(table, kernels.forward_strips, costs, geometry, scale, queue, num_with_grad, values, saved)
    value = torch.from_numpy(values * (gamma * math.log(2))).to(cost.dtype)
    return value, (stored, base, torch.from_numpy(with_grad))


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
    stored, base, strips = saved
    geometry, table = _geometry(pairs), strips.numpy()
    alignment = empty(shape, like=stored)
    queue = kernels.Queue(
        table,
        counter=np.zeros(1, np.int64),
        border=np.zeros((len(pairs), geometry.m.max()), stored.numpy().dtype),
        progress=np.full((len(pairs), len(table)), geometry.m.max() + 1, np.int64),
    )
    matrices = _matrices(alignment, shape, geometry)
    _run(
        table,
        kernels.backward_strips,
        matrices,
        geometry,
        grad.numpy(),
        queue,
        kernels.Saved(stored.numpy(), base.numpy()),
    )
    return alignment


def _geometry(pairs: Pairs) -> kernels.Geometry:
    return kernels.Geometry(pairs.x_lengths.numpy(), pairs.y_lengths.numpy(), pairs.band_half_width.numpy())


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
