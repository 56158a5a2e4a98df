"""The compiled backend against the reference, at random sizes, lengths, bands and gammas."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_plugins.soft_dtw import buffers, soft_dtw, soft_dtw_divergence, soft_dtw_from_cost

pytest.importorskip("numba", reason="the cpu backend needs numba")


def value_and_alignment(cost, *lengths, weights=None, **options):
    cost = cost.clone().requires_grad_()
    value = soft_dtw_from_cost(cost, *lengths, **options)
    (value if weights is None else value * weights).sum().backward()
    return value.detach(), cost.grad


@st.composite
def problems(draw, longest=80):
    batch = draw(st.integers(1, 4))
    n, m = draw(st.integers(1, longest)), draw(st.integers(1, longest))
    lengths = tuple(draw(st.lists(st.integers(1, k), min_size=batch, max_size=batch)) for k in (n, m))
    width = st.floats(0.5, longest)
    bandwidth = draw(st.none() | width | st.lists(width, min_size=batch, max_size=batch))
    gamma = 10 ** draw(st.floats(-3, 3))
    scale = 10 ** draw(st.floats(-6, 4))
    seed = draw(st.integers(0, 2**31))
    return batch, n, m, lengths, bandwidth, gamma, scale, seed


@given(problems())
@settings(max_examples=40, deadline=None)
def test_compiled_equals_reference(problem):
    batch, n, m, lengths, bandwidth, gamma, scale, seed = problem
    generator = torch.Generator().manual_seed(seed)
    cost = torch.rand(batch, n, m, generator=generator, dtype=torch.float64) * scale
    options = {"gamma": gamma, "bandwidth": bandwidth}
    weights = torch.rand(batch, generator=generator, dtype=torch.float64)
    expected, alignment = value_and_alignment(cost, *lengths, **options, weights=weights, backend="reference")
    value, found = value_and_alignment(cost, *lengths, **options, weights=weights, backend="cpu")
    largest = scale * (n + m) + 2 * gamma * (n + m)
    torch.testing.assert_close(value, expected, rtol=1e-11, atol=1e-13 * largest)
    # Values that differ in their last bits by `largest` times epsilon move shares by that over gamma.
    torch.testing.assert_close(found, alignment, rtol=0, atol=1e-9 + 1e-13 * largest / gamma)


@given(problems())
@settings(max_examples=25, deadline=None)
def test_float32_is_close_to_float64(problem):
    batch, n, m, lengths, bandwidth, _, _, seed = problem
    generator = torch.Generator().manual_seed(seed)
    cost = torch.rand(batch, n, m, generator=generator, dtype=torch.float64)
    options = {"gamma": 0.1, "bandwidth": bandwidth}
    expected, alignment = value_and_alignment(cost, *lengths, **options, backend="reference")
    value, found = value_and_alignment(cost.float(), *lengths, **options, backend="cpu")
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found.double(), alignment, rtol=0, atol=1e-4)


@pytest.fixture
def nan_memory(monkeypatch):
    """Fresh memory holds NaN, so that a cell that is read before it is written, or never written, shows."""

    class Filled:
        @staticmethod
        def empty(shape, dtype):
            # The bytes of a NaN of every floating type.
            return np.full(shape, 255, dtype)

    monkeypatch.setattr(buffers, "np", Filled)


@pytest.mark.parametrize("bandwidth", [None, 3.0, 0.5])
@pytest.mark.parametrize("lengths", [(None, None), ([70, 1, 33], [5, 90, 64])], ids=["full", "mixed"])
def test_every_cell_is_written(nan_memory, lengths, bandwidth):
    cost = torch.rand(3, 70, 90)
    expected = value_and_alignment(cost, *lengths, bandwidth=bandwidth, backend="reference")
    found = value_and_alignment(cost, *lengths, bandwidth=bandwidth, backend="cpu")
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("gamma", [0.02, 1.0, 1e4])
@pytest.mark.parametrize("needs", [(True, False), (False, True), (True, True)], ids=["x", "y", "both"])
@pytest.mark.parametrize("bandwidth", [None, 3.0])
@pytest.mark.parametrize("function", [soft_dtw, soft_dtw_divergence])
def test_gradients_of_frames_read_nothing_that_was_not_written(nan_memory, function, bandwidth, needs, gamma):
    y = torch.randn(3, 150, 20, dtype=torch.float64)
    x = y[:, :140] + 0.1 * torch.randn(3, 140, 20, dtype=torch.float64)
    results = []
    for backend in ("reference", "cpu"):
        leaves = [side.clone().requires_grad_(need) for side, need in zip((x, y), needs, strict=True)]
        value = function(*leaves, [140, 1, 67], [96, 150, 64], gamma=gamma, bandwidth=bandwidth, backend=backend)
        value.sum().backward()
        results.append((value, *(leaf.grad for leaf in leaves if leaf.grad is not None)))
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(1, 700, 500), (5, 150, 210)], ids=["one pair", "batch"])
def test_threads_do_not_change_a_bit(threads, shape):
    cost = torch.rand(shape)
    results = []
    for count in (1, 2, 5):
        threads(count)
        results.append(value_and_alignment(cost, gamma=0.1, backend="cpu"))
    for value, alignment in results[1:]:
        assert torch.equal(value, results[0][0])
        assert torch.equal(alignment, results[0][1])


def test_strided_and_expanded_costs(threads):
    cost = torch.rand(40, 2, 30)
    for view in (cost.transpose(0, 1), cost[:1].expand(3, 2, 30), cost[::3, :, ::2]):
        found = soft_dtw_from_cost(view, backend="cpu")
        torch.testing.assert_close(found, soft_dtw_from_cost(view.contiguous(), backend="reference"))
