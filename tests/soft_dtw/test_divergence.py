"""The soft-DTW divergence."""

import pytest
import torch

from espnet_plugins.soft_dtw import backends, soft_dtw, soft_dtw_divergence


@pytest.mark.parametrize("distance", ["sqeuclidean", "cosine"])
@pytest.mark.parametrize("gamma", [0.1, 10.0])
def test_is_zero_with_zero_gradient_at_equal_sequences(backend, distance, gamma):
    x = torch.randn(3, 40, 8, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    value = soft_dtw_divergence(x, y, [40, 11, 1], [40, 11, 1], gamma=gamma, distance=distance, backend=backend)
    value.sum().backward()
    # Three products that a BLAS may round each in its own way.
    torch.testing.assert_close(value, torch.zeros(3), rtol=0, atol=1e-3)
    for grad in (x.grad, y.grad):
        torch.testing.assert_close(grad, torch.zeros_like(grad), rtol=0, atol=1e-4)


def test_is_symmetric_and_not_negative(backend):
    x, y = torch.randn(4, 30, 8), torch.randn(4, 37, 8)
    lengths = [30, 22, 5, 1], [37, 8, 29, 3]
    there = soft_dtw_divergence(x, y, *lengths, bandwidth=20, backend=backend)
    back = soft_dtw_divergence(y, x, *lengths[::-1], bandwidth=20, backend=backend)
    torch.testing.assert_close(there, back, rtol=1e-5, atol=1e-3)
    assert (there > 0).all()


def test_stays_positive_near_equality(backend):
    x = torch.randn(1, 25, 4, dtype=torch.float64)
    for distance in (1e-1, 1e-2, 1e-3):
        near = x + distance * torch.randn_like(x)
        assert soft_dtw_divergence(x, near, gamma=1.0, backend=backend).item() > 0


def test_is_the_sum_of_its_parts(backend):
    x, y = (torch.randn(2, n, 3, dtype=torch.float64) for n in (9, 7))
    options = {"gamma": 0.4, "bandwidth": [2.0, 4.0], "backend": backend}
    x_lengths, y_lengths = [9, 5], [6, 7]
    parts = (
        soft_dtw(x, y, x_lengths, y_lengths, **options)
        - soft_dtw(x, x, x_lengths, x_lengths, **options) / 2
        - soft_dtw(y, y, y_lengths, y_lengths, **options) / 2
    )
    torch.testing.assert_close(soft_dtw_divergence(x, y, x_lengths, y_lengths, **options), parts)
    per_frame = soft_dtw_divergence(x, y, x_lengths, y_lengths, **options, normalize="sum")
    torch.testing.assert_close(per_frame, parts / torch.tensor([15, 12]))


@pytest.mark.parametrize(
    ("x_grad", "y_grad", "num_with_grad"), [(True, False, 4), (False, True, 4), (True, True, 6), (False, False, 0)]
)
def test_runs_as_one_batch_and_keeps_what_needs_a_gradient(monkeypatch, x_grad, y_grad, num_with_grad):
    calls = []
    passes = backends.resolve("reference", torch.device("cpu"))

    def forward(cost, pairs, gamma, num_with_grad, run=passes.forward):
        calls.append((len(cost), num_with_grad))
        return run(cost, pairs, gamma, num_with_grad)

    monkeypatch.setattr(passes, "forward", forward)
    x, y = torch.randn(2, 5, 3, requires_grad=x_grad), torch.randn(2, 4, 3, requires_grad=y_grad)
    value = soft_dtw_divergence(x, y, backend="reference")
    assert calls == [(6, num_with_grad)]
    assert value.requires_grad == (x_grad or y_grad)
