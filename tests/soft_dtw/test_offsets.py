"""A large offset that all frames have in common, in float32: against float64 on the same frames."""

import pytest
import torch

from espnet_plugins.soft_dtw import distance, soft_dtw, soft_dtw_divergence, soft_dtw_from_cost

LENGTHS = [24, 17, 1], [30, 9, 1]


def value_and_gradients(function, x, y, **options):
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    value = function(x, y, *LENGTHS, **options)
    return value.detach(), *torch.autograd.grad(value.sum(), (x, y))


def sides(offset, scale):
    """Random walks beside `offset` in every dimension, with its opposite in half of them; NaN behind the ends."""
    direction = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, 1.0])
    made = []
    for lengths in LENGTHS:
        frames = offset * direction + scale * torch.randn(3, max(lengths), 6).cumsum(1)
        for pair, length in enumerate(lengths):
            frames[pair, length:] = torch.nan
        made.append(frames)
    return made


def check(x, y, backend, function, tolerance, **options):
    found = value_and_gradients(function, x, y, **options, backend=backend)
    expected = value_and_gradients(function, x.double(), y.double(), **options, backend="reference")
    for single, double in zip(found, expected, strict=True):
        assert single.isfinite().all()
        assert (single - double).abs().max() <= tolerance * double.abs().max()


@pytest.fixture(params=["host", "device"])
def side_of_the_bus(request, monkeypatch):
    """Frames on a device take another way through the distance, which nothing keeps from being gone on the host."""
    if request.param == "device":
        monkeypatch.setattr(distance, "_on_host", lambda tensor: False)
    return request.param


@pytest.mark.parametrize("function", [soft_dtw, soft_dtw_divergence])
@pytest.mark.parametrize("offset", [0.0, 1e2, -1e3, 1e4])
def test_squared_distances_do_not_feel_it(backend, function, offset, side_of_the_bus):
    if side_of_the_bus == "device" and backend == "cpu":
        pytest.skip("the cpu backend is for the host")
    check(*sides(offset, scale=1.0), backend, function, 1e-4, gamma=0.5)


@pytest.mark.parametrize("function", [soft_dtw, soft_dtw_divergence])
@pytest.mark.parametrize(("offset", "tolerance"), [(0.0, 1e-5), (1e2, 1e-4), (-1e3, 1e-3), (1e4, 1e-2)])
def test_small_angles_are_told_apart(backend, function, offset, tolerance, side_of_the_bus):
    """Beside a large offset all frames point the same way, at angles of 1 / offset.

    The components of a vector of norm 1 resolve 6e-8, so that angles of 1e-4 are known to about 1e-3.
    """
    if side_of_the_bus == "device" and backend == "cpu":
        pytest.skip("the cpu backend is for the host")
    gamma = 0.5 / max(1.0, abs(offset)) ** 2
    check(*sides(offset, scale=1.0), backend, function, tolerance, gamma=gamma, distance="cosine")


def test_a_ramp_beside_one_thousand(backend):
    x = (1000 + 0.1 * torch.arange(30.0))[None, :, None]
    y = x + 0.03
    found = soft_dtw_divergence(x, y, gamma=1e-3, backend=backend)
    expected = soft_dtw_divergence(x.double(), y.double(), gamma=1e-3, backend="reference")
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=0)


def test_frames_of_zeros_have_no_direction(backend):
    x, y = torch.randn(1, 4, 3), torch.randn(1, 5, 3)
    x[0, 1] = 0
    x.requires_grad_()
    value = soft_dtw(x, y, distance="cosine", gamma=0.1, backend=backend)
    value.backward()
    cost = 1 - torch.nn.functional.cosine_similarity(x[0][:, None], y[0][None], dim=-1)
    torch.testing.assert_close(value, soft_dtw_from_cost(cost[None].detach(), gamma=0.1, backend=backend))
    assert x.grad.isfinite().all()
    assert not x.grad[0, 1].any()
