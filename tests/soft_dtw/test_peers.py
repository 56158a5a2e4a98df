"""Values of the packages people use today, where those are right (float32, no band, equal lengths)."""

import pytest
import torch

from espnet_plugins.soft_dtw import soft_dtw


@pytest.fixture
def pair():
    return torch.randn(2, 30, 4, requires_grad=True), torch.randn(2, 37, 4)


@pytest.mark.parametrize("gamma", [0.1, 1.0])
def test_tslearn(backend, pair, gamma):
    metrics = pytest.importorskip("tslearn.metrics", reason="a peer of the extra 'bench'")
    x, y = pair
    theirs = metrics.SoftDTWLossPyTorch(gamma=gamma)(x, y)
    (their_grad,) = torch.autograd.grad(theirs.sum(), x)
    ours = soft_dtw(x, y, gamma=gamma, backend=backend)
    (our_grad,) = torch.autograd.grad(ours.sum(), x)
    torch.testing.assert_close(ours, theirs.float(), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(our_grad, their_grad.float(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("gamma", [0.1, 1.0])
def test_pysdtw(backend, pair, gamma):
    pysdtw = pytest.importorskip("pysdtw", reason="a peer of the extra 'bench'")
    x, y = pair
    theirs = pysdtw.SoftDTW(gamma=gamma, use_cuda=False)(x, y)
    (their_grad,) = torch.autograd.grad(theirs.sum(), x)
    ours = soft_dtw(x, y, gamma=gamma, backend=backend)
    (our_grad,) = torch.autograd.grad(ours.sum(), x)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(our_grad, their_grad, rtol=1e-3, atol=1e-3)
