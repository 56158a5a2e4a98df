"""Matrix products and the care that a BLAS needs."""

import torch


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
