"""Values of the packages people use today, where both define them: float32, no band."""

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


@pytest.mark.parametrize("gamma", [0.1, 1.0])
@pytest.mark.parametrize("lengths", [(None, None), ([30, 12], [9, 37])], ids=["full", "mixed"])
def test_ddtw(backend, pair, gamma, lengths):
    ddtw = pytest.importorskip("ddtw", reason="a peer of the extra 'bench'")
    x, y = pair
    n, m = lengths
    # It returns the mean over the batch.
    theirs = 2 * ddtw.SDTW(gamma=gamma, normalization="none", backend="torch")(x, y, list_N=n, list_M=m)
    (their_grad,) = torch.autograd.grad(theirs, x)
    ours = soft_dtw(x, y, n, m, gamma=gamma, backend=backend).sum()
    (our_grad,) = torch.autograd.grad(ours, x)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(our_grad, their_grad, rtol=1e-3, atol=1e-3)
