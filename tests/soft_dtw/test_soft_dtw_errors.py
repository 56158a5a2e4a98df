"""Bad input: one error that names the pair, the option and what to do."""

import re

import pytest
import torch

from espnet_plugins.soft_dtw import (
    SoftDTW,
    soft_alignment,
    soft_dtw,
    soft_dtw_divergence,
    soft_dtw_from_cost,
)

X, Y = torch.ones(3, 5, 2), torch.ones(3, 6, 2)
FUNCTIONS = [soft_dtw, soft_dtw_divergence, soft_alignment, lambda x, y, *a, **k: SoftDTW(**k)(x, y, *a)]
NAMES = ["value", "divergence", "alignment", "module"]


def refused(error, message, function, *args, **kwargs):
    with pytest.raises(error, match=re.escape(message)):
        function(*args, **{"backend": "reference", **kwargs})


@pytest.mark.parametrize("function", FUNCTIONS, ids=NAMES)
def test_shapes(function):
    refused(ValueError, "x must be (B, frames, D)", function, X[0], Y)
    refused(ValueError, "y must be (B, frames, D)", function, X, Y[:, :0])
    refused(ValueError, "agree in pairs and dimensions, got (3, 5, 2) and (2, 6, 2)", function, X, Y[:2])
    refused(ValueError, "agree in pairs and dimensions", function, X, Y[:, :, :1])


@pytest.mark.parametrize("function", FUNCTIONS, ids=NAMES)
def test_dtypes(function):
    refused(TypeError, "x must be floating point, got torch.int64", function, X.long(), Y.long())
    refused(TypeError, "one precision, got torch.float32 and torch.float64", function, X, Y.double())


def test_half_beside_float32_is_allowed():
    assert soft_dtw(X.half(), Y, backend="reference").dtype == torch.float32


@pytest.mark.parametrize("function", FUNCTIONS, ids=NAMES)
def test_devices(function):
    refused(ValueError, "one device, got cpu and meta", function, X, Y.to("meta"))


@pytest.mark.parametrize("function", FUNCTIONS, ids=NAMES)
@pytest.mark.parametrize("gamma", [0, 0.0, -1.0, float("nan"), float("inf")])
def test_gamma(function, gamma):
    refused(ValueError, "gamma must be a finite number above 0", function, X, Y, gamma=gamma)


@pytest.mark.parametrize("function", FUNCTIONS, ids=NAMES)
def test_lengths(function):
    refused(ValueError, "x_lengths of pair 1 is 0; it must be 1 to 5", function, X, Y, [5, 0, 5])
    refused(ValueError, "y_lengths of pair 2 is 7; it must be 1 to 6", function, X, Y, None, [6, 6, 7])
    refused(ValueError, "x_lengths of pair 0 is -1", function, X, Y, torch.tensor([-1, 2, 3]))
    refused(ValueError, "one length per pair, (3,), got (2,)", function, X, Y, [5, 5])
    refused(TypeError, "y_lengths must hold integers, got torch.float32", function, X, Y, None, torch.ones(3))


@pytest.mark.parametrize("function", FUNCTIONS, ids=NAMES)
def test_bands(function):
    refused(ValueError, "bandwidth of pair 0 is -1.0; it must be 0 or more", function, X, Y, bandwidth=-1)
    refused(ValueError, "bandwidth of pair 2 is nan", function, X, Y, bandwidth=[1, 1, float("nan")])
    refused(ValueError, "one number or one per pair (3), got shape (2,)", function, X, Y, bandwidth=[1, 2])


@pytest.mark.parametrize("function", FUNCTIONS, ids=NAMES)
def test_band_without_a_path(function):
    message = "bandwidth 0.1 leaves pair 1 (5 x 6 frames) no path; 0.5 is enough for every pair"
    refused(ValueError, message, function, X, Y, None, [5, 6, 6], bandwidth=[0, 0.1, 9])


def test_every_band_is_a_path_or_an_error():
    """Nothing in between: no value is infinite, and what is refused really holds no path."""
    refusals = 0
    for n in range(1, 9):
        for m in range(1, 9):
            for bandwidth in (0, 0.1, 0.2, 0.25, 0.3, 0.4, 0.45, 0.5, 1):
                cost = torch.zeros(1, n, m)
                if has_path(n, m, bandwidth):
                    assert soft_dtw_from_cost(cost, bandwidth=bandwidth, backend="reference").isfinite().all()
                else:
                    refused(ValueError, "no path", soft_dtw_from_cost, cost, bandwidth=bandwidth)
                    refusals += 1
    assert refusals > 20


def has_path(n, m, bandwidth):
    from all_paths import in_band

    reached = {(0, 0)}
    for i in range(n):
        for j in range(m):
            before = {(i - 1, j), (i, j - 1), (i - 1, j - 1)}
            if in_band(i, j, n, m, bandwidth) and before & reached:
                reached.add((i, j))
    return (n - 1, m - 1) in reached


@pytest.mark.parametrize("function", FUNCTIONS, ids=NAMES)
@pytest.mark.parametrize("side", ["x", "y"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("passes", ["reference", "cpu"])
def test_nan_or_inf_in_a_valid_frame(function, side, bad, passes):
    if passes == "cpu":
        pytest.importorskip("numba")
    frames = {"x": X.clone(), "y": Y.clone()}
    frames[side][1, 2, 0] = bad
    message = "pair 1 holds NaN or inf inside its lengths"
    refused(ValueError, message, function, frames["x"], frames["y"], [5, 5, 1], backend=passes)


@pytest.mark.parametrize("cell", [(0, 0), (2, 3), (39, 49)])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_nan_or_inf_in_one_cost(backend, cell, bad):
    cost = torch.rand(3, 40, 50)
    cost[2][cell] = bad
    refused(ValueError, "pair 2 holds NaN or inf", soft_dtw_from_cost, cost, backend=backend)


def test_nan_outside_the_band_is_not_looked_at(backend):
    cost = torch.rand(1, 40, 50)
    cost[0, 2, 30] = float("nan")
    assert soft_dtw_from_cost(cost, bandwidth=0.5, backend=backend).isfinite().all()


def test_costs():
    refused(ValueError, "cost must be (B, N, M)", soft_dtw_from_cost, torch.ones(3, 4))
    refused(ValueError, "cost must be (B, N, M)", soft_dtw_from_cost, torch.ones(3, 0, 4))
    refused(TypeError, "cost must be floating point", soft_dtw_from_cost, torch.ones(1, 3, 4).int())
    refused(ValueError, "gamma must be", soft_dtw_from_cost, torch.ones(1, 3, 4), gamma=0)


def test_names():
    refused(ValueError, "distance must be one of ('sqeuclidean', 'cosine')", soft_dtw, X, Y, distance="l1")
    refused(ValueError, "normalize must be one of (None, 'sum', 'max')", soft_dtw, X, Y, normalize="mean")
    refused(ValueError, "backend must be one of ('auto', 'reference',", soft_dtw, X, Y, backend="cuda")


def test_backend_for_another_device():
    refused(ValueError, "'triton' computes on cuda, the tensors are on cpu", soft_dtw, X, Y, backend="triton")
