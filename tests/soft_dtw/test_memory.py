"""No tensor grows with the product of frames, frames and dimensions, and few are as large as the costs."""

import tracemalloc

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from espnet_plugins.soft_dtw import soft_dtw, soft_dtw_divergence

BATCH, N, M, D = 3, 130, 150, 24


class Largest(TorchDispatchMode):
    """Remembers the most numbers that a result of any operation held."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return result


@pytest.mark.parametrize("distance", ["sqeuclidean", "cosine"])
@pytest.mark.parametrize(("function", "blocks"), [(soft_dtw, 1), (soft_dtw_divergence, 3)])
def test_no_difference_tensor(backend, function, blocks, distance):
    x, y = torch.randn(BATCH, N, D, requires_grad=True), torch.randn(BATCH, M, D, requires_grad=True)
    with Largest() as largest:
        function(x, y, distance=distance, backend=backend).sum().backward()
    # The divergence squares its matrices; what is kept for the backward pass is cut askew, the more so the shorter.
    assert 0 < largest.numbers <= 1.4 * blocks * BATCH * M**2 < BATCH * N * M * D / 4


@pytest.mark.parametrize("lengths", [[700, 700], [700, 60, 50, 40, 30]], ids=str)
def test_three_cost_matrices_are_enough(lengths):
    """Of each pair at its own lengths: padding takes no room."""
    pytest.importorskip("numba", reason="the cpu backend needs numba")
    x, y = torch.randn(len(lengths), 700, 4, requires_grad=True), torch.randn(len(lengths), 800, 4)
    columns = [n + 100 for n in lengths]
    soft_dtw(x, y, lengths, columns, backend="cpu").sum().backward()
    # NumPy, which large buffers come from, reports to tracemalloc; torch's own are no larger than the frames.
    tracemalloc.start()
    try:
        soft_dtw(x, y, lengths, columns, backend="cpu").sum().backward()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    cells = 4 * sum(n * m for n, m in zip(lengths, columns, strict=True))
    assert cells < peak <= 3 * cells
