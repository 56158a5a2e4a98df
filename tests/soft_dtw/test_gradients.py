"""Gradients: exact in float64, in the dtype of the input, and repeatable."""

import pytest
import torch

from espnet_plugins.soft_dtw import SoftDTW, soft_dtw, soft_dtw_divergence, soft_dtw_from_cost

OPTIONS = [
    {},
    {"bandwidth": 1.5},
    {"bandwidth": [0.5, 2.0, 3.0], "distance": "cosine"},
    {"normalize": "sum", "gamma": 0.1},
]


@pytest.mark.parametrize("function", [soft_dtw, soft_dtw_divergence])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_gradcheck(backend, function, options):
    x = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    y = torch.randn(3, 6, 4, dtype=torch.float64, requires_grad=True)
    options = {"gamma": 0.5, **options, "backend": backend}
    # The reference is slow, and held to the enumeration of paths too: a random projection will do.
    fast = backend == "reference"
    assert torch.autograd.gradcheck(
        lambda x, y: function(x, y, [5, 3, 1], [4, 6, 2], **options), (x, y), fast_mode=fast
    )


def test_gradcheck_across_strips():
    """Longer than two strips of the compiled backend, so that what strips hand to each other is checked."""
    pytest.importorskip("numba")
    cost = torch.rand(1, 70, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda c: soft_dtw_from_cost(c, gamma=0.3, backend="cpu"), (cost,), fast_mode=True)


@pytest.mark.parametrize("gamma", [0.01, 1.0, 1e3])
@pytest.mark.parametrize("weights", [[1.0, 1.0], [-2.0, 0.0]], ids=str)
def test_long_gradients_are_those_of_costs_written_out(gamma, weights):
    """Long enough for the products to leave out what the alignment leaves out."""
    pytest.importorskip("numba")
    x, y = (torch.randn(2, k, 3, dtype=torch.float64, requires_grad=True) for k in (290, 400))
    options = {"x_lengths": [290, 257], "y_lengths": [270, 400], "gamma": gamma, "backend": "cpu"}
    results = []
    for written_out in (False, True):
        if written_out:
            value = soft_dtw_from_cost((x[:, :, None] - y[:, None]).square().sum(-1), **options)
        else:
            value = soft_dtw(x, y, **options)
        results.append(torch.autograd.grad((value * torch.tensor(weights)).sum(), (x, y)))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("leaf", ["x", "y"])
def test_gradient_to_one_side_only(backend, leaf):
    sides = {"x": torch.randn(2, 5, 3), "y": torch.randn(2, 4, 3)}
    both = {name: side.clone().requires_grad_() for name, side in sides.items()}
    one = {name: side.clone().requires_grad_(name == leaf) for name, side in sides.items()}
    for given in (both, one):
        soft_dtw_divergence(given["x"], given["y"], [5, 2], backend=backend).sum().backward()
    torch.testing.assert_close(one[leaf].grad, both[leaf].grad, rtol=1e-4, atol=1e-4)


def test_gradient_of_each_value_reaches_its_own_pair(backend):
    x, y = torch.randn(3, 5, 3, requires_grad=True), torch.randn(3, 6, 3)
    weights = torch.tensor([2.0, 0.0, -1.0])
    (soft_dtw(x, y, backend=backend) * weights).sum().backward()
    weighted, x.grad = x.grad, None
    soft_dtw(x, y, backend=backend).sum().backward()
    torch.testing.assert_close(weighted, x.grad * weights[:, None, None])


def test_backward_twice_gives_the_same_bits(backend):
    x, y = torch.randn(2, 40, 3, requires_grad=True), torch.randn(2, 50, 3, requires_grad=True)
    value = soft_dtw(x, y, [40, 7], [50, 33], gamma=0.1, backend=backend).sum()
    first = torch.autograd.grad(value, (x, y), retain_graph=True)
    second = torch.autograd.grad(value, (x, y))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_second_derivative_is_refused(backend):
    x, weight = torch.randn(1, 4, 2, requires_grad=True), torch.ones(1, requires_grad=True)
    value = soft_dtw(x, torch.randn(1, 3, 2), backend=backend) * weight
    (grad,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(backend, dtype):
    x, y = torch.randn(2, 5, 3).to(dtype).requires_grad_(), torch.randn(2, 6, 3).to(dtype)
    value = soft_dtw(x, y, backend=backend)
    value.sum().backward()
    wide = x.detach().float().requires_grad_()
    expected = soft_dtw(wide, y.float(), backend=backend)
    expected.sum().backward()
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)
    assert x.grad.dtype == dtype
    assert torch.equal(x.grad, wide.grad.to(dtype))


@pytest.mark.parametrize("distance", ["sqeuclidean", "cosine"])
def test_autocast_changes_nothing(backend, distance):
    x, y = torch.randn(2, 20, 16, requires_grad=True), torch.randn(2, 25, 16)
    options = {"gamma": 0.1, "distance": distance, "backend": backend}
    expected = soft_dtw(x, y, **options)
    (expected_grad,) = torch.autograd.grad(expected.sum(), x)
    with torch.autocast("cpu", torch.bfloat16):
        value = soft_dtw(x, y, **options)
        (grad,) = torch.autograd.grad(value.sum(), x)
    assert torch.equal(value, expected)
    assert torch.equal(grad, expected_grad)


def test_nothing_is_kept_without_a_gradient(backend):
    x, y = torch.randn(2, 5, 3, requires_grad=True), torch.randn(2, 6, 3)
    with torch.no_grad():
        assert not soft_dtw(x, y, backend=backend).requires_grad
    assert not soft_dtw(x.detach(), y, backend=backend).requires_grad


def test_module_is_the_function_with_its_options(backend):
    x, y = torch.randn(2, 5, 3), torch.randn(2, 6, 3)
    options = {"gamma": 0.2, "bandwidth": 2, "distance": "cosine", "normalize": "max", "backend": backend}
    for divergence, function in ((False, soft_dtw), (True, soft_dtw_divergence)):
        module = SoftDTW(divergence=divergence, **options)
        assert torch.equal(module(x, y, [5, 4], [6, 3]), function(x, y, [5, 4], [6, 3], **options))
        assert "gamma=0.2" in repr(module)
        assert not module.state_dict()


@pytest.mark.parametrize(("gamma", "narrow"), [(0.05, True), (1e4, False)])
@pytest.mark.parametrize("dimensions", [1, 16, 37])
@pytest.mark.parametrize("function", [soft_dtw, soft_dtw_divergence])
def test_narrow_and_wide_alignments_have_the_gradient_of_the_reference(
    function, dimensions, gamma, narrow, monkeypatch
):
    """Narrow ones are multiplied by a kernel of their own, wide ones by the BLAS."""
    pytest.importorskip("numba")
    from espnet_plugins.soft_dtw.backends import cpu

    done = []
    monkeypatch.setattr(cpu.Parts, "multiply", _noting(cpu.Parts.multiply, done))
    lengths = [131, 98, 3], [140, 77, 33]
    y = torch.randn(3, 140, dimensions, dtype=torch.float64)
    x = y[:, :131] + 0.1 * torch.randn(3, 131, dimensions, dtype=torch.float64)
    for side, ends in zip((x, y), lengths, strict=True):
        for pair, end in enumerate(ends):
            side[pair, end:] = torch.nan
    results = []
    for backend in ("cpu", "reference"):
        leaf = x.clone().requires_grad_()
        value = function(leaf, y, *lengths, gamma=gamma, backend=backend)
        results.append((value, *torch.autograd.grad((value * torch.tensor([1.0, -2.0, 0.5])).sum(), leaf)))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert done == [narrow]


def _noting(function, results):
    def noted(*args):
        results.append(function(*args))
        return results[-1]

    return noted
