"""The Triton backend against the reference; run by test_triton.py, on a GPU or under Triton's interpreter."""

import os

import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"

from espnet_plugins.soft_dtw import soft_dtw, soft_dtw_divergence, soft_dtw_from_cost  # noqa: E402
from espnet_plugins.soft_dtw.backends import triton as passes  # noqa: E402


@pytest.fixture(autouse=True)
def short_strips(monkeypatch):
    """Strips of 16 rows and chunks of 8 steps, so that small problems have several of each."""
    if INTERPRETED:
        monkeypatch.setattr(passes, "MAX_LANES", 16)
        monkeypatch.setattr(passes, "CHUNK", 8)
    torch.manual_seed(0)


def value_and_alignment(cost, *lengths, backend, **options):
    cost = cost.clone().requires_grad_()
    value = soft_dtw_from_cost(cost, *lengths, backend=backend, **options)
    (value * torch.linspace(0.5, 2, len(value), dtype=value.dtype, device=value.device)).sum().backward()
    return value.detach(), cost.grad


@pytest.mark.parametrize(
    ("dtype", "shape", "lengths", "options"),
    [
        (torch.float32, (1, 1, 1), (None, None), {}),
        (torch.float32, (1, 1, 9), (None, None), {"bandwidth": 0}),
        (torch.float32, (1, 18, 1), (None, None), {"gamma": 10.0}),
        (torch.float32, (3, 35, 13), ([35, 16, 1], [9, 13, 11]), {"gamma": 0.3}),
        (torch.float32, (3, 18, 24), ([18, 17, 5], [24, 12, 5]), {"bandwidth": [0.5, 2.5, 0.0]}),
        (torch.float64, (2, 33, 13), ([33, 7], [9, 13]), {"gamma": 0.3, "bandwidth": [6.0, 0.5]}),
    ],
    ids=str,
)
def test_equals_reference(dtype, shape, lengths, options):
    cost = torch.rand(shape, dtype=dtype) * 5
    for row in range(shape[0]):
        if lengths[0] is not None:
            cost[row, lengths[0][row] :] = float("nan")
    expected = value_and_alignment(cost, *lengths, backend="reference", **options)
    found = value_and_alignment(cost.to(DEVICE), *lengths, backend="triton", **options)
    tolerance = 1e-11 if dtype == torch.float64 else 2e-5
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.cpu(), b, rtol=tolerance, atol=tolerance)


def test_every_cell_is_written(monkeypatch):
    """Fresh memory holds NaN, so that a cell that is read unwritten, or never written, shows."""
    cost = torch.rand(2, 18, 10)
    expected = value_and_alignment(cost, [18, 3], [10, 9], backend="reference", bandwidth=2)

    def new_empty(self, size, dtype=None, real=torch.Tensor.new_empty, **others):
        # Triton's interpreter makes tensors of its own, on a device it names.
        return real(self, size, **others) if others else self.new_full(size, torch.nan, dtype=dtype)

    monkeypatch.setattr(torch.Tensor, "new_empty", new_empty)
    found = value_and_alignment(cost.to(DEVICE), [18, 3], [10, 9], backend="triton", bandwidth=2)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.cpu(), b, rtol=1e-5, atol=1e-5)


def test_batch_is_each_pair_alone_bit_for_bit():
    cost = torch.rand(2, 18, 12, device=DEVICE)
    value, alignment = value_and_alignment(cost, [18, 7], [11, 12], backend="triton")
    for pair, (n, m) in enumerate(((18, 11), (7, 12))):
        alone = cost[pair : pair + 1, :n, :m].clone().requires_grad_()
        single = soft_dtw_from_cost(alone, backend="triton")
        (single * (0.5, 2.0)[pair]).sum().backward()
        assert torch.equal(single[0], value[pair])
        assert torch.equal(alone.grad[0], alignment[pair, :n, :m])


def test_each_pass_is_one_launch(monkeypatch):
    launches = []

    class Counted:
        def __init__(self, kernel):
            self.kernel = kernel

        def __getitem__(self, grid):
            launches.append(grid)
            return self.kernel[grid]

    for name in ("_forward", "_backward"):
        monkeypatch.setattr(passes, name, Counted(getattr(passes, name)))
    value_and_alignment(torch.rand(3, 20, 4, device=DEVICE), backend="triton")
    assert launches == [(3,), (3,)]


def test_frames_with_padding_and_divergence():
    x, y = torch.randn(2, 6, 3, dtype=torch.float64), torch.randn(2, 7, 3, dtype=torch.float64)
    x[1, 4:], y[0, 5:] = float("nan"), float("inf")
    for function in (soft_dtw, soft_dtw_divergence):
        grads = []
        for backend, device in (("reference", "cpu"), ("triton", DEVICE)):
            a = x.to(device, copy=True).requires_grad_()
            value = function(a, y.to(device), [6, 4], [5, 7], gamma=0.2, backend=backend)
            value.sum().backward()
            grads.append((value.detach().cpu(), a.grad.cpu()))
        for a, b in zip(*grads, strict=True):
            torch.testing.assert_close(a, b)


def test_broken_costs_are_seen_in_their_own_pair():
    cost = torch.rand(3, 6, 5, device=DEVICE)
    cost[1, 2, 2], cost[2, 0, 0] = float("nan"), float("inf")
    lengths = [torch.tensor([k] * 3, device=DEVICE) for k in (6, 5)]
    pairs = passes.Pairs(*lengths, torch.full((3,), 30, device=DEVICE))
    value, _ = passes.forward(cost, pairs, 1.0, 0)
    assert value.isnan().tolist() == [False, True, True]


def test_lengths_that_do_not_fit_give_nan_and_touch_nothing():
    lengths = [torch.tensor(k, device=DEVICE) for k in ([4, 0, 7, 3], [5, 5, 5, 6])]
    pairs = passes.Pairs(*lengths, torch.full((4,), 30, device=DEVICE))
    cost = torch.rand(4, 6, 5, device=DEVICE)
    value, saved = passes.forward(cost, pairs, 1.0, 4)
    assert value.isnan().tolist() == [False, True, True, True]
    alignment = passes.backward(saved, cost.shape, pairs, 1.0, torch.ones_like(value))
    assert alignment.isfinite().all()
    assert not alignment[1:].any()


@pytest.mark.skipif(INTERPRETED, reason="needs a GPU")
def test_long_sequences_without_waiting_for_the_device():
    cost = torch.rand(2, 3000, 2500, device=DEVICE)
    lengths = [torch.tensor(k, device=DEVICE) for k in ([3000, 1500], [2500, 2200])]
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = value_and_alignment(cost, *lengths, gamma=0.1, bandwidth=400, backend="triton")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = value_and_alignment(cost.cpu(), *(k.cpu() for k in lengths), gamma=0.1, bandwidth=400, backend="cpu")
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.cpu(), b, rtol=1e-4, atol=1e-3)
