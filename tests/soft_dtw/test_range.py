"""Long sequences, and gammas and costs far from 1, in float32."""

import pytest
import torch

from espnet_plugins.soft_dtw import soft_dtw_from_cost

pytest.importorskip("numba", reason="the cpu backend needs numba")


def value_and_alignment(cost, **options):
    cost = cost.clone().requires_grad_()
    value = soft_dtw_from_cost(cost, **options)
    value.sum().backward()
    return value.detach(), cost.grad


@pytest.mark.parametrize(("gamma", "scale"), [(0.1, 1.0), (1.0, 300.0), (1e-3, 1e4)])
def test_three_thousand_frames_in_float32(gamma, scale):
    position = torch.linspace(0, 1, 3000)
    cost = (position[:, None] - position.square()[None]).abs() + 0.3 * torch.rand(3000, 3000)
    cost = (cost * scale)[None]
    value, alignment = value_and_alignment(cost, gamma=gamma, backend="cpu")
    expected, precise = value_and_alignment(cost.double(), gamma=gamma, backend="cpu")
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=0)
    assert alignment.isfinite().all()
    assert alignment.min() >= 0
    assert alignment.max() <= 1 + 1e-3
    # Each path visits every row: no mass is lost over six thousand steps.
    assert alignment[0].sum(1).min() >= 0.999
    if gamma >= 1e-3 * scale:
        assert (alignment - precise).abs().max() < 0.01


@pytest.mark.parametrize("gamma", [1e-3, 1e-1, 1e1, 1e3])
@pytest.mark.parametrize("scale", [1e-6, 1e-2, 1e2, 1e4])
def test_gammas_and_costs_of_all_sizes(backend, gamma, scale):
    cost = torch.rand(2, 60, 70) * scale
    value, alignment = value_and_alignment(cost, gamma=gamma, backend=backend)
    expected, precise = value_and_alignment(cost.double(), gamma=gamma, backend="reference")
    assert alignment.isfinite().all()
    torch.testing.assert_close(value.double(), expected, rtol=2e-6, atol=1e-6 * scale)
    torch.testing.assert_close(alignment.sum((1, 2)).double(), precise.sum((1, 2)), rtol=1e-3, atol=0)


def test_negative_costs(backend):
    cost = torch.randn(2, 40, 40) * 50 - 20
    value, alignment = value_and_alignment(cost, gamma=0.5, backend=backend)
    expected, precise = value_and_alignment(cost.double(), gamma=0.5, backend="reference")
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(alignment.double(), precise, rtol=0, atol=1e-3)
