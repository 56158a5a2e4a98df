"""Soft dynamic time warping of batches of sequences: checks, distance, dispatch."""

import math
from collections.abc import Sequence
from types import ModuleType

import torch

from espnet_plugins.soft_dtw.autograd import SoftDTWFunction
from espnet_plugins.soft_dtw.backends import BACKENDS, resolve
from espnet_plugins.soft_dtw.distance import DISTANCES, pairwise_cost
from espnet_plugins.soft_dtw.frames import values_of_frames
from espnet_plugins.soft_dtw.pairs import Bandwidth, Blocks, Pairs, make_pairs

Lengths = torch.Tensor | Sequence[int] | None
NORMALIZE = (None, "sum", "max")


def soft_dtw(
    x: torch.Tensor,
    y: torch.Tensor,
    x_lengths: Lengths = None,
    y_lengths: Lengths = None,
    *,
    gamma: float = 1.0,
    bandwidth: Bandwidth = None,
    distance: str = "sqeuclidean",
    normalize: str | None = None,
    backend: str = "auto",
) -> torch.Tensor:
    """Soft-DTW value of each pair of sequences, with gradients to both.

    Source: Cuturi and Blondel, "Soft-DTW: a differentiable loss function for time-series", ICML 2017, eq. 1.

    Args:
        x: (B, N, D) frames, float; half and bfloat16 are computed in float32.
        y: (B, M, D) frames.
        x_lengths: (B,) valid frames of each x, integers; None for all. Padding beyond these lengths is ignored.
        y_lengths: (B,) valid frames of each y, likewise.
        gamma: smoothing, above 0, in the unit of the cost. Small values come close to hard DTW.
        bandwidth: Sakoe-Chiba band: how far an alignment may leave the diagonal of the pair's own lengths, in
            frames of its shorter sequence; one number, one per pair, or None for no limit. 0 on equal lengths
            is the diagonal itself; 0.5 or more always holds a path.
        distance: "sqeuclidean", |x_i - y_j|^2, or "cosine", 1 - cos(x_i, y_j).
        normalize: what each value is divided by: None for nothing, "sum" for x_length + y_length, "max" for
            the longer of the two, which is the least number of cells that a path visits.
        backend: "auto" (by device), "reference", "cpu" or "triton".

    Returns:
        (B,), unreduced, float32 (float64 for float64 input).

    Raises:
        TypeError: a dtype that is not floating, or float64 beside another.
        ValueError: shapes, devices, lengths, gamma, band or names that do not fit, or NaN or inf in a valid
            frame (only on the CPU, where looking costs nothing; elsewhere that pair's value is NaN).
        ImportError: a backend whose extra is not installed.

    Example:
        >>> import torch
        >>> from espnet_plugins.soft_dtw import soft_dtw
        >>> x = torch.zeros(2, 3, 4)
        >>> y = torch.ones(2, 5, 4)
        >>> soft_dtw(x, y, y_lengths=[5, 3], gamma=1e-6).round().tolist()
        [20.0, 12.0]
    """
    x, y = _checked(x, y)
    _check_options(gamma, distance, normalize, backend)
    pairs = make_pairs(len(x), x.shape[1], y.shape[1], x_lengths, y_lengths, bandwidth).to(x.device)
    passes = resolve(backend, x.device)
    return _normalized(_values_of_frames(x, y, pairs, distance, gamma, passes), pairs, normalize)


def soft_dtw_divergence(
    x: torch.Tensor,
    y: torch.Tensor,
    x_lengths: Lengths = None,
    y_lengths: Lengths = None,
    *,
    gamma: float = 1.0,
    bandwidth: Bandwidth = None,
    distance: str = "sqeuclidean",
    normalize: str | None = None,
    backend: str = "auto",
) -> torch.Tensor:
    """Soft-DTW divergence, soft_dtw(x, y) - (soft_dtw(x, x) + soft_dtw(y, y)) / 2: least, and 0, at x = y.

    Source: Blondel, Mensch and Vert, "Differentiable divergences between time series", AISTATS 2021.

    Args:
        x: as in `soft_dtw`.
        y: as in `soft_dtw`.
        x_lengths: as in `soft_dtw`.
        y_lengths: as in `soft_dtw`.
        gamma: as in `soft_dtw`.
        bandwidth: as in `soft_dtw`; the two alignments of a sequence with itself use it too.
        distance: as in `soft_dtw`.
        normalize: as in `soft_dtw`; the lengths are those of x and y, so that one number divides all three.
        backend: as in `soft_dtw`.

    Returns:
        (B,), unreduced.

    Raises:
        TypeError: as in `soft_dtw`.
        ValueError: as in `soft_dtw`.
        ImportError: as in `soft_dtw`.

    Example:
        >>> import torch
        >>> from espnet_plugins.soft_dtw import soft_dtw_divergence
        >>> x = torch.arange(6.0).view(1, 6, 1)
        >>> soft_dtw_divergence(x, x).item()
        0.0
        >>> soft_dtw_divergence(x, x + 1).item() > 0
        True
    """
    x, y = _checked(x, y)
    _check_options(gamma, distance, normalize, backend)
    batch = len(x)
    # The sequence without a gradient comes last, so that its alignment with itself leaves no graph.
    selves = ((0, 0), (1, 1)) if x.requires_grad else ((1, 1), (0, 0))
    blocks = ((0, 1), *selves)
    pairs = make_pairs(batch, x.shape[1], y.shape[1], x_lengths, y_lengths, bandwidth, blocks).to(x.device)
    passes = resolve(backend, x.device)
    blocks_with_grad = 1 + x.requires_grad + y.requires_grad
    values = _values_of_frames(x, y, pairs, distance, gamma, passes, blocks, blocks_with_grad)
    xy, *own = values.view(3, batch)
    return _normalized(xy - (own[0] + own[1]) / 2, pairs, normalize)


def soft_dtw_from_cost(
    cost: torch.Tensor,
    x_lengths: Lengths = None,
    y_lengths: Lengths = None,
    *,
    gamma: float = 1.0,
    bandwidth: Bandwidth = None,
    normalize: str | None = None,
    backend: str = "auto",
) -> torch.Tensor:
    """Soft-DTW value of each cost matrix.

    Args:
        cost: (B, N, M) costs, float, negative ones allowed.
        x_lengths: as in `soft_dtw`.
        y_lengths: as in `soft_dtw`.
        gamma: as in `soft_dtw`.
        bandwidth: as in `soft_dtw`.
        normalize: as in `soft_dtw`.
        backend: as in `soft_dtw`.

    Returns:
        (B,), unreduced. The gradient with respect to `cost` is the expected alignment.

    Raises:
        TypeError: a dtype that is not floating.
        ValueError: as in `soft_dtw`.
        ImportError: as in `soft_dtw`.

    Example:
        >>> import torch
        >>> from espnet_plugins.soft_dtw import soft_dtw_from_cost
        >>> soft_dtw_from_cost(torch.tensor([[[0.0, 9.0], [9.0, 1.0]]]), gamma=0.1).item()
        1.0
    """
    if cost.dim() != 3 or 0 in cost.shape:
        raise ValueError(f"cost must be (B, N, M) without an empty axis, got {tuple(cost.shape)}")
    cost = cost.to(_compute_dtype("cost", cost))
    _check_options(gamma, "sqeuclidean", normalize, backend)
    batch, n, m = cost.shape
    pairs = make_pairs(batch, n, m, x_lengths, y_lengths, bandwidth).to(cost.device)
    value = _values(cost, cost.detach(), pairs, gamma, resolve(backend, cost.device), num_with_grad=batch)
    return _normalized(value, pairs, normalize)


def soft_alignment(
    x: torch.Tensor,
    y: torch.Tensor,
    x_lengths: Lengths = None,
    y_lengths: Lengths = None,
    *,
    gamma: float = 1.0,
    bandwidth: Bandwidth = None,
    distance: str = "sqeuclidean",
    backend: str = "auto",
) -> torch.Tensor:
    """Expected alignment of each pair: the gradient of its value with respect to its costs, detached.

    Args:
        x: as in `soft_dtw`.
        y: as in `soft_dtw`.
        x_lengths: as in `soft_dtw`.
        y_lengths: as in `soft_dtw`.
        gamma: as in `soft_dtw`.
        bandwidth: as in `soft_dtw`.
        distance: as in `soft_dtw`.
        backend: as in `soft_dtw`.

    Returns:
        (B, N, M): how probable it is that the alignment visits a cell; 0 beyond lengths and band.

    Raises:
        TypeError: as in `soft_dtw`.
        ValueError: as in `soft_dtw`.
        ImportError: as in `soft_dtw`.

    Example:
        >>> import torch
        >>> from espnet_plugins.soft_dtw import soft_alignment
        >>> x = torch.tensor([[[0.0], [3.0]]])
        >>> soft_alignment(x, x, gamma=0.01)[0].tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    x, y = _checked(x.detach(), y.detach())
    _check_options(gamma, distance, None, backend)
    pairs = make_pairs(len(x), x.shape[1], y.shape[1], x_lengths, y_lengths, bandwidth).to(x.device)
    passes = resolve(backend, x.device)
    cost, _ = pairwise_cost(x, y, pairs, distance)
    value, saved = passes.forward(cost, pairs, gamma, len(x))
    _check_values(value, len(x))
    return passes.backward(saved, cost.shape, pairs, gamma, torch.ones_like(value))


def _values_of_frames(
    x: torch.Tensor,
    y: torch.Tensor,
    pairs: Pairs,
    distance: str,
    gamma: float,
    passes: ModuleType,
    blocks: Blocks = ((0, 1),),
    blocks_with_grad: int = 1,
) -> torch.Tensor:
    """Values of all pairs, block by block."""
    if hasattr(passes, "Parts"):
        value = values_of_frames(x, y, pairs, distance, gamma, passes, blocks, blocks_with_grad)
        _check_values(value, len(x))
        return value
    costs = pairwise_cost(x, y, pairs, distance, blocks, blocks_with_grad)
    return _values(*costs, pairs, gamma, passes, num_with_grad=blocks_with_grad * len(x), blocks=len(blocks))


def _values(
    cost: torch.Tensor,
    batch: torch.Tensor,
    pairs: Pairs,
    gamma: float,
    passes: ModuleType,
    *,
    num_with_grad: int,
    blocks: int = 1,
) -> torch.Tensor:
    """Values of all pairs of `batch`, of which `cost` are the leading `num_with_grad`."""
    num_with_grad = num_with_grad if cost.requires_grad and torch.is_grad_enabled() else 0
    value = SoftDTWFunction.apply(cost, batch, pairs, gamma, passes, num_with_grad)
    _check_values(value, len(value) // blocks)
    return value


def _check_values(value: torch.Tensor, batch: int) -> None:
    # One that is not finite makes the sum so; a sum of finite ones may overflow, too.
    if value.device.type == "cpu" and not math.isfinite(value.detach().sum()) and not value.isfinite().all():
        pair = int((~value.isfinite()).nonzero()[0]) % batch
        raise ValueError(f"pair {pair} holds NaN or inf inside its lengths; repair its frames or costs, or its lengths")


def _normalized(value: torch.Tensor, pairs: Pairs, normalize: str | None) -> torch.Tensor:
    """Divide the value of each x and y, the leading ones of `pairs`, by its length."""
    x_lengths, y_lengths = pairs.x_lengths[: len(value)], pairs.y_lengths[: len(value)]
    if normalize == "sum":
        return value / (x_lengths + y_lengths)
    if normalize == "max":
        return value / torch.maximum(x_lengths, y_lengths)
    return value


def _checked(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Check two batches of frames against each other; return them in the dtype to compute in."""
    for name, frames in (("x", x), ("y", y)):
        if frames.dim() != 3 or 0 in frames.shape:
            raise ValueError(f"{name} must be (B, frames, D) without an empty axis, got {tuple(frames.shape)}")
    if x.shape[0] != y.shape[0] or x.shape[2] != y.shape[2]:
        raise ValueError(f"x and y must agree in pairs and dimensions, got {tuple(x.shape)} and {tuple(y.shape)}")
    if x.device != y.device:
        raise ValueError(f"x and y must be on one device, got {x.device} and {y.device}")
    dtypes = _compute_dtype("x", x), _compute_dtype("y", y)
    if dtypes[0] != dtypes[1]:
        raise TypeError(f"x and y must have one precision, got {x.dtype} and {y.dtype}; convert one of them")
    return x.to(dtypes[0]), y.to(dtypes[0])


def _compute_dtype(name: str, tensor: torch.Tensor) -> torch.dtype:
    if not tensor.is_floating_point():
        raise TypeError(f"{name} must be floating point, got {tensor.dtype}; convert it with .float()")
    return torch.promote_types(tensor.dtype, torch.float32)


def _check_options(gamma: float, distance: str, normalize: str | None, backend: str) -> None:
    if not (math.isfinite(gamma) and gamma > 0):
        raise ValueError(
            f"gamma must be a finite number above 0, got {gamma}; for hard DTW take a small one, such as 1e-3"
        )
    for name, value, choices in (
        ("distance", distance, DISTANCES),
        ("normalize", normalize, NORMALIZE),
        ("backend", backend, BACKENDS),
    ):
        if value not in choices:
            raise ValueError(f"{name} must be one of {choices}, got {value!r}")
