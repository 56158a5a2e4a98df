"""Values and gradients against the enumeration of all paths."""

import math

import numpy as np
import pytest
import torch
from all_paths import enumerate_paths, soft_dtw_by_paths

from espnet_plugins.soft_dtw import soft_alignment, soft_dtw, soft_dtw_from_cost

SIZES = [(1, 1), (1, 6), (5, 1), (2, 2), (2, 5), (4, 3), (5, 5), (5, 6)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("gamma", [0.05, 1.0, 30.0])
@pytest.mark.parametrize("bandwidth", [None, 0.5, 1, 2.3])
def test_value_and_gradient_are_those_of_all_paths(backend, size, gamma, bandwidth):
    cost = torch.randn(1, *size, dtype=torch.float64) * 3
    value, alignment = soft_dtw_by_paths(cost[0].numpy(), gamma, bandwidth)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 3e-5)):
        given = cost.to(dtype, copy=True).requires_grad_()
        computed = soft_dtw_from_cost(given, gamma=gamma, bandwidth=bandwidth, backend=backend)
        computed.sum().backward()
        assert computed.dtype == dtype
        assert computed.item() == pytest.approx(value, rel=tolerance, abs=tolerance)
        np.testing.assert_allclose(given.grad[0].numpy(), alignment, rtol=0, atol=tolerance)


def test_band_of_zero_is_the_diagonal(backend):
    cost = torch.rand(1, 6, 6, dtype=torch.float64, requires_grad=True)
    value = soft_dtw_from_cost(cost, gamma=0.7, bandwidth=0, backend=backend)
    value.sum().backward()
    assert value.item() == pytest.approx(cost[0].trace().item(), rel=1e-12)
    torch.testing.assert_close(cost.grad[0], torch.eye(6, dtype=torch.float64))


@pytest.mark.parametrize("distance", ["sqeuclidean", "cosine"])
def test_frames_are_compared_by_the_distance_named(backend, distance):
    x, y = torch.randn(1, 5, 3, dtype=torch.float64), torch.randn(1, 6, 3, dtype=torch.float64)
    if distance == "sqeuclidean":
        cost = torch.stack([torch.stack([(a - b).square().sum() for b in y[0]]) for a in x[0]])
    else:
        cost = 1 - torch.nn.functional.cosine_similarity(x[0][:, None], y[0][None], dim=-1)
    value, alignment = soft_dtw_by_paths(cost.numpy(), 0.5)
    computed = soft_dtw(x, y, gamma=0.5, distance=distance, backend=backend)
    assert computed.item() == pytest.approx(value, rel=1e-10)
    found = soft_alignment(x, y, gamma=0.5, distance=distance, backend=backend)
    np.testing.assert_allclose(found[0].numpy(), alignment, rtol=0, atol=1e-10)


def test_cosine_of_a_frame_of_zeros_is_zero(backend):
    x, y = torch.zeros(1, 1, 4), torch.randn(1, 1, 4)
    assert soft_dtw(x, y, distance="cosine", backend=backend).item() == pytest.approx(1.0)


@pytest.mark.parametrize(("n", "m"), [(1, 4), (3, 3), (5, 6), (9, 12)])
def test_zero_cost_counts_the_paths(backend, n, m):
    delannoy = sum(math.comb(n - 1, k) * math.comb(m - 1, k) * 2**k for k in range(min(n, m)))
    if n * m <= 30:
        assert delannoy == sum(1 for _ in enumerate_paths(n, m))
    value = soft_dtw_from_cost(torch.zeros(1, n, m, dtype=torch.float64), gamma=0.25, backend=backend)
    assert value.item() == pytest.approx(-0.25 * math.log(delannoy), rel=1e-12)


def test_small_gamma_is_hard_dtw(backend):
    cost = torch.rand(1, 5, 6, dtype=torch.float64)
    value = soft_dtw_from_cost(cost, gamma=1e-6, backend=backend)
    assert value.item() == pytest.approx(soft_dtw_by_paths(cost[0].numpy(), 0)[0], rel=1e-5)


def test_large_gamma_weighs_all_paths_alike(backend):
    cost = torch.rand(1, 5, 6, dtype=torch.float64)
    paths = list(enumerate_paths(5, 6))
    mean = np.mean([sum(cost[0][cell].item() for cell in path) for path in paths])
    value = soft_dtw_from_cost(cost, gamma=1e6, backend=backend) + 1e6 * math.log(len(paths))
    assert value.item() == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize(("normalize", "divisors"), [("sum", [11, 7]), ("max", [6, 4]), (None, [1, 1])])
def test_value_per_aligned_frame(backend, normalize, divisors):
    x, y = torch.randn(2, 5, 3), torch.randn(2, 6, 3)
    lengths = {"x_lengths": [5, 4], "y_lengths": [6, 3], "backend": backend}
    plain = soft_dtw(x, y, **lengths)
    divided = soft_dtw(x, y, **lengths, normalize=normalize)
    torch.testing.assert_close(divided, plain / torch.tensor(divisors))
