"""Matrix products that leave out what is zero, and the care that a BLAS needs."""

import torch

# Rows whose columns are found together, and the share of a matrix above which it is multiplied as one.
_SPAN = 128
_WORTHWHILE = 0.7


def add_product(into: torch.Tensor, a: torch.Tensor, b: torch.Tensor, factor: float) -> None:
    """Add factor * a @ b, for matrices or batches of them."""
    if into.dim() == 3:
        into.baddbmm_(a, b, alpha=factor)
    elif 1 in into.shape:
        # A single row or column: as fast as a BLAS, and in an order that does not depend on strides.
        into.add_((a.contiguous().unsqueeze(-1) * b.contiguous()).sum(1), alpha=factor)
    else:
        into.addmm_(a, b, alpha=factor)


def row_sum(grad_cost: torch.Tensor) -> torch.Tensor:
    """Sum over the last axis, which stays."""
    # A single row or column is summed in an order that depends on its stride.
    grad_cost = grad_cost.contiguous() if 1 in grad_cost.shape[-2:] else grad_cost
    return grad_cost.sum(-1, keepdim=True)


def nonzero_spans(grad_cost: torch.Tensor) -> list[tuple[slice, slice]]:
    """Find rows and columns of the parts of a pair's gradient that hold all that is not zero.

    The smaller gamma, the narrower the path that an alignment follows, and what lies off it need not be multiplied.

    Args:
        grad_cost: (n, m) gradient of a pair, all of one sign, or (batch, n, m), which stays whole.

    Returns:
        Rows and columns of each part.
    """
    n, m = grad_cost.shape[-2:]
    everything = [(slice(0, n), slice(0, m))]
    if grad_cost.dim() == 3 or n < 2 * _SPAN:
        return everything
    spans = []
    # All values of a pair have one sign: a sum is zero where each of them is.
    used = torch.stack([rows.sum(0) for rows in grad_cost.split(_SPAN)]) != 0
    for k, columns in enumerate(used.numpy()):
        if columns.any():
            first, last = columns.argmax(), m - columns[::-1].argmax()
            spans.append((slice(k * _SPAN, min((k + 1) * _SPAN, n)), slice(int(first), int(last))))
    area = sum((rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in spans)
    return spans if area < _WORTHWHILE * n * m else everything
