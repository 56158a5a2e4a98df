"""Batches of unequal lengths: padding does not matter, and a batch is its pairs."""

import pytest
import torch

from espnet_plugins.soft_dtw import soft_alignment, soft_dtw, soft_dtw_divergence, soft_dtw_from_cost

# Pairs of one frame, of part of a strip, of several strips and chunks.
X_LENGTHS = [1, 70, 33, 64, 7, 1]
Y_LENGTHS = [70, 1, 80, 64, 9, 1]
OPTIONS = [{}, {"bandwidth": [1, 2, 3, 0, 5, 6]}, {"distance": "cosine", "bandwidth": 4.5, "normalize": "sum"}]


# What follows from frames goes through products of the BLAS, whose last bits may depend on addresses and shapes, and
# costs that differ in their last bits move shares by that over gamma.
CLOSE = {torch.float64: {"rtol": 1e-9, "atol": 1e-9}, torch.float32: {"rtol": 1e-3, "atol": 2e-3}}


def frames(dimensions=16, padding=float("nan"), dtype=torch.float32):
    x, y = torch.randn(6, 75, dimensions, dtype=dtype), torch.randn(6, 80, dimensions, dtype=dtype)
    for pair, (n, m) in enumerate(zip(X_LENGTHS, Y_LENGTHS, strict=True)):
        x[pair, n:], y[pair, m:] = padding, padding
    return x.requires_grad_(), y.requires_grad_()


def check_against_pairs_alone(function, x, y, x_lengths, y_lengths, *lengths, **options):
    value = function(x, y, *lengths, **options)
    value.sum().backward()
    for pair, (n, m) in enumerate(zip(x_lengths, y_lengths, strict=True)):
        own = dict(options)
        if isinstance(own.get("bandwidth"), list):
            own["bandwidth"] = own["bandwidth"][pair]
        alone = [t.detach()[pair : pair + 1, :k].clone().requires_grad_() for t, k in ((x, n), (y, m))]
        expected = function(*alone, **own)
        expected.sum().backward()
        found = value[pair : pair + 1], x.grad[pair : pair + 1, :n], y.grad[pair : pair + 1, :m]
        for ours, single in zip(found, (expected, alone[0].grad, alone[1].grad), strict=True):
            torch.testing.assert_close(ours, single, **CLOSE[x.dtype], msg=lambda text, pair=pair: f"{pair}: {text}")


@pytest.mark.parametrize("function", [soft_dtw, soft_dtw_divergence])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(
    ("dimensions", "dtype"), [(1, torch.float64), (5, torch.float64), (64, torch.float64), (64, torch.float32)], ids=str
)
def test_batch_is_each_pair_alone(backend, function, options, dimensions, dtype):
    if backend == "reference" and (dimensions, dtype) != (64, torch.float64):
        pytest.skip("slow, and the products are those of the other backend")
    lengths = X_LENGTHS, Y_LENGTHS
    sides = frames(dimensions, dtype=dtype)
    check_against_pairs_alone(function, *sides, *lengths, *lengths, gamma=0.3, **options, backend=backend)


@pytest.mark.parametrize("function", [soft_dtw, soft_dtw_divergence])
@pytest.mark.parametrize("distance", ["sqeuclidean", "cosine"])
@pytest.mark.parametrize("size", [(1, 40), (40, 1), (1, 1), (33, 70), (130, 101)], ids=str)
@pytest.mark.parametrize("dimensions", [1, 40, 256])
def test_full_batch_is_each_pair_alone(function, distance, size, dimensions):
    pytest.importorskip("numba", reason="the cpu backend needs numba")
    x, y = (torch.randn(3, k, dimensions, dtype=torch.float64, requires_grad=True) for k in size)
    lengths = ([k] * 3 for k in size)
    check_against_pairs_alone(function, x, y, *lengths, gamma=0.3, distance=distance, backend="cpu")


@pytest.mark.parametrize("gamma", [0.1, 100.0])
def test_long_batch_is_each_pair_alone(gamma):
    """Long enough for the products to leave out what the alignment leaves out."""
    pytest.importorskip("numba", reason="the cpu backend needs numba")
    x, y = torch.randn(3, 300, 40, dtype=torch.float64), torch.randn(3, 330, 40, dtype=torch.float64)
    lengths = [300, 257, 256], [330, 270, 129]
    for side, ends in zip((x, y), lengths, strict=True):
        for pair, length in enumerate(ends):
            side[pair, length:] = float("nan")
    frames = x.requires_grad_(), y.requires_grad_()
    check_against_pairs_alone(soft_dtw, *frames, *lengths, *lengths, gamma=gamma, backend="cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("bandwidth", [None, [1, 2, 3, 0, 5, 6]], ids=str)
@pytest.mark.parametrize("gamma", [0.1, 100.0])
def test_given_its_costs_a_pair_gets_the_same_bits_in_every_batch(dtype, bandwidth, gamma):
    """The recursion is the compiled backend's own arithmetic: no library decides about its last bits."""
    pytest.importorskip("numba", reason="the cpu backend needs numba")
    cost = torch.rand(6, 75, 80, dtype=dtype)
    batch = cost.clone().requires_grad_()
    value = soft_dtw_from_cost(batch, X_LENGTHS, Y_LENGTHS, gamma=gamma, bandwidth=bandwidth, backend="cpu")
    value.sum().backward()
    for pair, (n, m) in enumerate(zip(X_LENGTHS, Y_LENGTHS, strict=True)):
        alone = cost[pair : pair + 1, :n, :m].clone().requires_grad_()
        band = None if bandwidth is None else bandwidth[pair]
        expected = soft_dtw_from_cost(alone, gamma=gamma, bandwidth=band, backend="cpu")
        expected.sum().backward()
        assert value[pair] == expected[0], pair
        assert torch.equal(batch.grad[pair, :n, :m], alone.grad[0]), pair


@pytest.mark.parametrize("padding", [float("nan"), float("inf"), -float("inf"), 1e30])
@pytest.mark.parametrize("distance", ["sqeuclidean", "cosine"])
def test_padding_may_hold_anything(backend, padding, distance):
    results = []
    for filler in (0.0, padding):
        torch.manual_seed(1)
        x, y = frames(padding=filler)
        value = soft_dtw_divergence(x, y, X_LENGTHS, Y_LENGTHS, distance=distance, backend=backend)
        value.sum().backward()
        results.append((value, x.grad, y.grad))
        for grad, lengths in ((x.grad, X_LENGTHS), (y.grad, Y_LENGTHS)):
            for pair, length in enumerate(lengths):
                assert not grad[pair, length:].any()
    for clean, padded in zip(*results, strict=True):
        torch.testing.assert_close(clean, padded, rtol=1e-4, atol=1e-4)


def test_padding_of_costs_may_hold_anything(backend):
    cost = torch.rand(2, 50, 60)
    cost[0, 40:], cost[0, :, 33:] = float("nan"), float("inf")
    cost.requires_grad_()
    value = soft_dtw_from_cost(cost, [40, 50], [33, 60], gamma=0.1, backend=backend)
    value.sum().backward()
    alone = cost.detach()[:1, :40, :33].clone().requires_grad_()
    soft_dtw_from_cost(alone, gamma=0.1, backend=backend).sum().backward()
    torch.testing.assert_close(cost.grad[0, :40, :33], alone.grad[0])
    assert not cost.grad[0, 40:].any()
    assert not cost.grad[0, :, 33:].any()


def test_alignment_is_zero_outside_and_complete_inside(backend):
    x, y = frames()
    alignment = soft_alignment(x, y, X_LENGTHS, Y_LENGTHS, gamma=0.5, bandwidth=3, backend=backend)
    assert not alignment.requires_grad
    for pair, (n, m) in enumerate(zip(X_LENGTHS, Y_LENGTHS, strict=True)):
        inside = alignment[pair, :n, :m]
        assert not alignment[pair, n:].any()
        assert not alignment[pair, :, m:].any()
        ends = torch.stack([inside[0, 0], inside[-1, -1]])
        torch.testing.assert_close(ends, torch.ones(2))
        # Every frame of either side is met at least once.
        assert (inside.sum(0) > 0.999).all()
        assert (inside.sum(1) > 0.999).all()


@pytest.mark.parametrize("form", [list, torch.tensor, lambda v: torch.tensor(v, dtype=torch.int32)])
def test_lengths_may_come_in_several_forms(backend, form):
    x, y = torch.randn(2, 5, 3), torch.randn(2, 6, 3)
    expected = torch.cat(
        [soft_dtw(x[:1, :4], y[:1, :6], backend=backend), soft_dtw(x[1:, :5], y[1:, :2], backend=backend)]
    )
    torch.testing.assert_close(soft_dtw(x, y, form([4, 5]), form([6, 2]), backend=backend), expected)


def test_band_follows_the_diagonal_of_each_pair(backend):
    """The same band on a padded pair and on the same pair alone leaves the same cells."""
    cost = torch.zeros(1, 40, 60)
    for n, m in ((10, 60), (40, 13), (40, 60), (21, 21)):
        cost_with_grad = cost.clone().requires_grad_()
        soft_dtw_from_cost(cost_with_grad, [n], [m], bandwidth=2, backend=backend).sum().backward()
        i, j = cost_with_grad.grad[0].nonzero().T
        shorter, longer = (i, j) if n <= m else (j, i)
        away = shorter - longer * (min(n, m) - 1) / (max(n, m) - 1)
        assert away.abs().max() <= 2 + 1e-6
        assert away.abs().max() > 1.4
