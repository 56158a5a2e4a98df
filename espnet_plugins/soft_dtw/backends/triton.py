"""Soft-DTW on GPUs: one Triton kernel for each pass, one program for each pair, nothing read back by the host.

A program cuts its cost matrix into strips of LANES rows and walks each strip along anti-diagonals, lane l of step
t at cell (row + l, start + t - l). Values are in units of gamma * ln 2 and relative to a base that is renewed every
CHUNK steps, so that float32 resolves differences between neighbors however long the path has become.
"""

import math

import torch
import triton
import triton.language as tl

from espnet_plugins.soft_dtw.pairs import Pairs

MAX_LANES = 1024
CHUNK = 32
# The cost of cells that no path may visit. Sums of millions of it stay finite in float32.
MASKED_COST = tl.constexpr(1e30)


def forward(
    cost: torch.Tensor, pairs: Pairs, gamma: float, num_with_grad: int
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """Value of each pair and what `backward` needs of the first ones.

    Args:
        cost: (B, N, M), float32 or float64.
        pairs: lengths and band, on the device of `cost`.
        gamma: smoothing, above 0.
        num_with_grad: leading pairs that will go through `backward`.

    Returns:
        (B,) values, NaN where a cost that counts is not finite or a length does not fit, and the values of all
        cells of the leading pairs with their bases and the last row of each strip.
    """
    cost = cost.detach().contiguous()
    batch, n, m = cost.shape
    lanes, strips, chunks = _layout(n, m)
    value = cost.new_empty((batch,))
    prefix = cost.new_empty((num_with_grad, n, m))
    base = cost.new_empty((batch, strips, chunks), dtype=torch.float64)
    border = cost.new_full((batch, strips, m), MASKED_COST.value, dtype=torch.float64)
    with torch.cuda.device_of(cost):
        _forward[(batch,)](
            cost,
            *_geometry(pairs),
            # A number among the arguments would arrive in float32.
            cost.new_full((1,), gamma * math.log(2), dtype=torch.float64),
            value,
            prefix,
            base,
            border,
            n,
            m,
            num_with_grad,
            chunks,
            LANES=lanes,
            CHUNK=CHUNK,
            num_warps=_warps(lanes),
        )
    return value, (prefix, base, border)


def backward(
    saved: tuple[torch.Tensor, ...], shape: torch.Size, pairs: Pairs, gamma: float, grad: torch.Tensor
) -> torch.Tensor:
    """Gradient with respect to the costs of the leading pairs.

    Args:
        saved: what `forward` returned.
        shape: shape of the costs of the leading pairs.
        pairs: as in `forward`.
        gamma: as in `forward`.
        grad: (num_with_grad,) gradient that reaches each value.

    Returns:
        (num_with_grad, N, M): alignment times gradient, 0 outside lengths and band.
    """
    prefix, base, border = saved
    num_with_grad, n, m = shape
    lanes, strips, chunks = _layout(n, m)
    alignment = torch.zeros_like(prefix)
    inflow = prefix.new_zeros(num_with_grad, strips, m)
    with torch.cuda.device_of(prefix):
        _backward[(num_with_grad,)](
            prefix,
            *_geometry(pairs),
            base,
            border,
            inflow,
            grad,
            alignment,
            n,
            m,
            strips,
            chunks,
            LANES=lanes,
            CHUNK=CHUNK,
            num_warps=_warps(lanes),
        )
    return alignment


def _layout(n: int, m: int) -> tuple[int, int, int]:
    """Rows of a strip, strips, chunks of a strip."""
    lanes = min(triton.next_power_of_2(max(n, 16)), MAX_LANES)
    return lanes, triton.cdiv(n, lanes), triton.cdiv(m + lanes - 1, CHUNK)


def _warps(lanes: int) -> int:
    return max(1, lanes // 128)


def _geometry(pairs: Pairs) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return pairs.x_lengths, pairs.y_lengths, pairs.band_half_width


@triton.jit
def _span(row, n, m, band_half_width, LANES: tl.constexpr):
    """First column of a strip and its number of steps."""
    last = tl.minimum(row + LANES, n) - 1
    rise = tl.maximum(n - 1, 1)
    start = (tl.maximum(row * (m - 1) - band_half_width, 0) + rise - 1) // rise
    end = tl.where(n == 1, m - 1, tl.minimum((last * (m - 1) + band_half_width) // rise, m - 1))
    return start, end - start + 1 + last - row


@triton.jit
def _mask(i, j, n, m, band_half_width):
    return (i < n) & (j >= 0) & (j < m) & (tl.abs(i * (m - 1) - j * (n - 1)) <= band_half_width)


@triton.jit
def _forward(
    cost,
    x_lengths,
    y_lengths,
    band_half_widths,
    units,
    value,
    prefix,
    base,
    border,
    N,
    M,
    num_with_grad,
    chunks,
    LANES: tl.constexpr,
    CHUNK: tl.constexpr,
):
    pair = tl.program_id(0).to(tl.int64)
    n = tl.load(x_lengths + pair)
    m = tl.load(y_lengths + pair)
    band_half_width = tl.load(band_half_widths + pair)
    fits = (n >= 1) & (n <= N) & (m >= 1) & (m <= M)
    n = tl.where(fits, n, 1)
    m = tl.where(fits, m, 1)
    strips = tl.cdiv(N, LANES)
    cost += pair * N * M
    prefix += pair * N * M
    base += pair * strips * chunks
    border += pair * strips * M
    with_grad = pair < num_with_grad
    number = cost.dtype.element_ty
    unit = tl.load(units)
    scale = (1.0 / unit).to(number)
    lane = tl.arange(0, LANES).to(tl.int64)
    neighbor = tl.maximum(lane - 1, 0).to(tl.int32)
    broken = tl.zeros([LANES], tl.int32)
    total = tl.full([], 0.0, tl.float64)
    for strip in range(0, tl.cdiv(n, LANES)):
        row = strip * LANES
        i = row + lane
        start, steps = _span(row, n, m, band_half_width, LANES)
        above_row = border + (strip - 1) * M
        zero = tl.full([], 0.0, tl.float64)
        corner = tl.where(row == 0, 0.0, MASKED_COST).to(tl.float64)
        if (row > 0) & (start > 0):
            corner = tl.load(above_row + start - 1)
        first = tl.load(above_row + start, mask=row > 0, other=MASKED_COST)
        zero = tl.minimum(corner, first)
        zero = tl.where(zero < 0.5 * MASKED_COST, zero, 0.0)
        latest = tl.full([LANES], MASKED_COST, number)
        diagonal = tl.where(lane == 0, (corner - zero).to(number), MASKED_COST).to(number)
        for t0 in range(0, steps, CHUNK):
            if t0 > 0:
                shift = tl.min(latest, 0)
                shift = tl.where(shift < 0.5 * MASKED_COST, shift, 0.0).to(number)
                latest -= shift
                diagonal -= shift
                zero += shift
            tl.store(base + strip * chunks + t0 // CHUNK, zero)
            for t in range(t0, tl.minimum(t0 + CHUNK, steps)):
                j = start + t - lane
                valid = _mask(i, j, n, m, band_half_width)
                price = tl.load(cost + i * M + j, mask=valid, other=0.0) * scale
                broken |= (valid & (tl.abs(price) >= float("inf"))) | (price != price)
                above = tl.load(above_row + start + t, mask=(row > 0) & (start + t < m), other=MASKED_COST)
                up = tl.where(lane == 0, (above - zero).to(number), tl.gather(latest, neighbor, 0))
                smaller = tl.minimum(up, latest)
                larger = tl.maximum(up, latest)
                least = tl.minimum(smaller, diagonal)
                middle = tl.maximum(smaller, diagonal)
                mass = 1.0 + (tl.exp2(least - larger) + tl.exp2(least - middle))
                latest = tl.where(valid, price + (least - tl.log2(mass)), MASKED_COST).to(number)
                diagonal = up
                tl.store(prefix + i * M + j, latest, mask=valid & with_grad)
                tl.store(
                    border + strip * M + j,
                    tl.where(valid, zero + latest, MASKED_COST),
                    mask=(lane == LANES - 1) & (j >= 0) & (j < m),
                )
        total = zero + tl.sum(tl.where(i == n - 1, latest, 0.0).to(tl.float64), 0)
        # The next strip reads the border that another thread wrote.
        tl.debug_barrier()
    ok = fits & (tl.max(broken, 0) == 0)
    total = tl.where(total < 0.5 * MASKED_COST, total * unit, float("inf"))
    tl.store(value + pair, tl.where(ok, total, float("nan")).to(number))


@triton.jit
def _backward(
    prefix,
    x_lengths,
    y_lengths,
    band_half_widths,
    base,
    border,
    inflow,
    grad,
    alignment,
    N,
    M,
    strips,
    chunks,
    LANES: tl.constexpr,
    CHUNK: tl.constexpr,
):
    pair = tl.program_id(0).to(tl.int64)
    n = tl.load(x_lengths + pair)
    m = tl.load(y_lengths + pair)
    band_half_width = tl.load(band_half_widths + pair)
    fits = (n >= 1) & (n <= N) & (m >= 1) & (m <= M)
    prefix += pair * N * M
    alignment += pair * N * M
    base += pair * strips * chunks
    border += pair * strips * M
    inflow += pair * strips * M
    number = prefix.dtype.element_ty
    factor = tl.load(grad + pair)
    lane = tl.arange(0, LANES).to(tl.int64)
    neighbor = tl.minimum(lane + 1, LANES - 1).to(tl.int32)
    used = tl.where(fits, tl.cdiv(n, LANES), 0)
    for back in range(0, used):
        strip = used - 1 - back
        row = strip * LANES
        i = row + lane
        start, steps = _span(row, n, m, band_half_width, LANES)
        above_row = border + (strip - 1) * M
        zeros = base + strip * chunks
        to_left = tl.where(i == n - 1, 1.0, 0.0).to(number)
        to_left = tl.where(back == 0, to_left, 0.0).to(number)
        to_diagonal = tl.zeros([LANES], number)
        handed = tl.zeros([LANES], number)
        for reverse in range(0, steps):
            t = steps - 1 - reverse
            j = start + t - lane
            valid = _mask(i, j, n, m, band_half_width)
            zero = tl.load(zeros + t // CHUNK)
            last = (tl.load(zeros + tl.maximum(t - 1, 0) // CHUNK) - zero).to(number)
            before = (tl.load(zeros + tl.maximum(t - 2, 0) // CHUNK) - zero).to(number)
            own = valid & (lane > 0)
            cell = prefix + i * M + j
            up = tl.load(cell - M, mask=own & _mask(i - 1, j, n, m, band_half_width), other=MASKED_COST) + last
            left = tl.load(cell - 1, mask=valid & _mask(i, j - 1, n, m, band_half_width), other=MASKED_COST) + last
            diagonal = (
                tl.load(cell - M - 1, mask=own & _mask(i - 1, j - 1, n, m, band_half_width), other=MASKED_COST) + before
            )
            # Above the strip, values are absolute.
            over = valid & (lane == 0) & (row > 0)
            column = above_row + j
            up_over = (tl.load(column, mask=over, other=MASKED_COST) - zero).to(number)
            diagonal_over = (tl.load(column - 1, mask=over & (j > 0), other=MASKED_COST) - zero).to(number)
            up = tl.where(lane == 0, up_over, up)
            diagonal = tl.where(lane == 0, diagonal_over, diagonal)
            diagonal = tl.where((i == 0) & (j == 0), -zero.to(number), diagonal)
            least = tl.minimum(tl.minimum(up, left), diagonal)
            share_up = tl.exp2(least - up)
            share_left = tl.exp2(least - left)
            share_diagonal = tl.exp2(least - diagonal)
            below = tl.load(
                inflow + (strip + 1) * M + j,
                mask=(lane == LANES - 1) & (back > 0) & (j >= 0) & (j < m),
                other=0.0,
            )
            mass = to_left + tl.where(lane == LANES - 1, below, tl.gather(handed, neighbor, 0))
            mass = tl.where(valid, mass, 0.0).to(number)
            tl.store(alignment + i * M + j, mass * factor, mask=valid)
            mass /= share_up + share_left + share_diagonal
            to_left = mass * share_left
            handed = mass * share_up + to_diagonal
            to_diagonal = mass * share_diagonal
            tl.store(inflow + strip * M + start + t - lane, handed, mask=(lane == 0) & (j < m))
        tl.store(inflow + strip * M + start - 1 + lane, to_diagonal, mask=(lane == 0) & (start > 0))
        tl.debug_barrier()
