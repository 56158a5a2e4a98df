"""Numba kernels of the CPU backend.

A cost matrix is cut into strips of LANES rows. Inside a strip, step t handles the cells (row + lane, start + t -
lane): none of them needs another, so a step is plain vector arithmetic, and the values of a strip are stored step
by step, where the backward pass reads them in one stretch. Strips depend on the strip above (in the backward
pass, below) only through one row. Workers draw strips from a common counter, pairs interleaved; a strip follows
its neighbour CHUNK steps at a time, so that one long pair occupies all workers too.

Values are kept in units of gamma * ln 2, so that powers of two do for exponentials, and relative to a base that is
renewed every chunk, so that float32 resolves differences between neighbours however long the path has become.
"""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import overload

# Their declared types miss what the decorators do to a signature.
njit: Any = numba.njit
intrinsic: Any = numba.extending.intrinsic

LANES = 32
CHUNK = 64
# Side of the squares that are turned between rows and steps.
BLOCK = 8
# The cost of cells that no path may visit. Sums of millions of it stay finite in float32.
WALL = 1e30
# Occupancies below this are dropped: they are beyond rounding, and denormal numbers would slow the pass down.
FAINT = 2.0**-60
_DONE = 1 << 60

# Unsigned, so that no index needs a test for counting from the end; that test would keep loops scalar.
_LANES = np.uint64(LANES)
_WIDTH = np.uint64(LANES + 1)
_ONE = np.uint64(1)

# The backward pass keeps four numbers a cell in one array, step by step: what it hands up, left and diagonally
# (each with a place for what comes from the strip below) and its own occupancy. One array, because distances
# inside it are constants, so that LLVM need not guard the vector code against overlap.
LEFT, DIAGONAL, VISIT, FLOWS = (k * (LANES + 1) for k in (1, 2, 3, 4))
_LEFT, _DIAGONAL, _VISIT, _FLOWS = (np.uint64(k) for k in (LEFT, DIAGONAL, VISIT, FLOWS))

# Columns of the table of strips.
PAIR, ROW, START, STEPS, STORE, CHUNKS = range(6)


def _jit(function: Callable) -> Callable:
    """Compile once per machine; where no directory can be written, once per process."""
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:
        return njit(**options)(function)


@intrinsic
def _as_int(typingctx, x):
    """The bits of a float32."""

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), codegen


@intrinsic
def _as_float(typingctx, x):
    """The float32 of these bits."""

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), codegen


def _pointer(context, builder, signature, args):
    array = context.make_array(signature.args[0])(context, builder, args[0])
    indices = args[1 : 1 + signature.args[0].ndim]
    return cgutils.get_item_pointer(context, builder, signature.args[0], array, indices)


@intrinsic
def _fetch_add(typingctx, array, index, value):
    """Add to an int64 of an array and return what it was, as one step for all threads."""

    def codegen(context, builder, signature, args):
        return builder.atomic_rmw("add", _pointer(context, builder, signature, args), args[2], "seq_cst")

    return types.int64(array, types.intp, types.int64), codegen


@intrinsic
def _load(typingctx, array, row, column):
    """Read an int64 that another thread publishes; what it wrote before is visible after."""

    def codegen(context, builder, signature, args):
        return builder.load_atomic(_pointer(context, builder, signature, args), "acquire", 8)

    return types.int64(array, types.intp, types.intp), codegen


@intrinsic
def _publish(typingctx, array, row, column, value):
    """Write an int64 for other threads, after everything written before it."""

    def codegen(context, builder, signature, args):
        builder.store_atomic(args[3], _pointer(context, builder, signature, args), "release", 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, types.int64), codegen


@intrinsic
def _turn(typingctx, source, stride, target, step, factor):
    """target[i * step + j] = source[j * stride + i] * factor for i, j < BLOCK; source and target are addresses.

    Written as shuffles of short vectors, which every processor has; LLVM does not find them in the loops.
    """

    def codegen(context, builder, signature, args):
        number = context.get_value_type(factor)
        size = context.get_abi_sizeof(number)
        vector = ir.VectorType(number, BLOCK)

        def place(address, pitch, k):
            offset = builder.mul(pitch, ir.Constant(pitch.type, k * size))
            return builder.inttoptr(builder.add(address, offset), vector.as_pointer())

        scale = ir.Constant(vector, ir.Undefined)
        for k in range(BLOCK):
            scale = builder.insert_element(scale, args[4], ir.IntType(32)(k))
        rows = [builder.load(place(args[0], args[1], k), align=size) for k in range(BLOCK)]
        rows = [builder.fmul(row, scale) for row in rows]
        # Swap ever smaller squares across the diagonal.
        half = BLOCK // 2
        while half:
            upper = [j + (BLOCK - half if j & half else 0) for j in range(BLOCK)]
            lower = [j + (BLOCK if j & half else half) for j in range(BLOCK)]
            for k in range(BLOCK):
                if not k & half:
                    rows[k], rows[k + half] = (
                        builder.shuffle_vector(
                            rows[k], rows[k + half], ir.Constant(ir.VectorType(ir.IntType(32), BLOCK), order)
                        )
                        for order in (upper, lower)
                    )
            half //= 2
        for k in range(BLOCK):
            builder.store(rows[k], place(args[2], args[3], k), align=size)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 4, factor), codegen


_yield = types.ExternalFunction("sched_yield", types.int32())


def _exp2(x):
    """2 ** x for x <= 0, flat below -60 (where float32 sums do not notice)."""


@overload(_exp2, inline="never")
def _exp2_of(x):
    if x == types.float64:
        return lambda x: math.exp(x * 0.6931471805599453)

    def polynomial(x):
        # Adding 1.5 * 2 ** 23 leaves the nearest integer in the low bits; the rest is within 0.5 of 0, where
        # these coefficients (least maximal relative error, 1 at 0) are off by at most 1e-7.
        x = max(x, np.float32(-60.0))
        shifted = x + np.float32(12582912.0)
        rest = x - (shifted - np.float32(12582912.0))
        p = np.float32(0.0013264727080454302)
        p = p * rest + np.float32(0.009671512862323622)
        p = p * rest + np.float32(0.055507337456455724)
        p = p * rest + np.float32(0.24022242081840844)
        p = p * rest + np.float32(0.6931469775965874)
        p = p * rest + np.float32(1.0)
        return _as_float(np.int32(_as_int(p) + (_as_int(shifted) << np.int32(23))))

    return polynomial


def _log2(x):
    """log2(x) for 1 <= x <= 3."""


@overload(_log2, inline="never")
def _log2_of(x):
    if x == types.float64:
        return lambda x: math.log(x) * 1.4426950408889634

    def polynomial(x):
        # The series of the inverse hyperbolic tangent with coefficients of least maximal error, at most 2e-8.
        z = (x - np.float32(1.0)) / (x + np.float32(1.0))
        w = z * z
        p = np.float32(0.5645512487721284)
        p = p * w + np.float32(0.21024775752567054)
        p = p * w + np.float32(0.4301658926673196)
        p = p * w + np.float32(0.5756947000740835)
        p = p * w + np.float32(0.9618417758978428)
        p = p * w + np.float32(2.8853896641213157)
        return p * z

    return polynomial


@_jit
def _columns(i, n, m, reach):
    """First column of row i inside lengths and band, and the one after the last; nothing below row n."""
    if i >= n:
        return m, m
    if n == 1:
        return 0, m
    middle = i * (m - 1)
    return max(0, -((reach - middle) // (n - 1))), min(m - 1, (middle + reach) // (n - 1)) + 1


@_jit
def strip_table(n, m, reach, kept):
    """List the strips of a batch, upper ones first, pairs interleaved.

    Args:
        n: rows of each pair, (B,) int64.
        m: columns of each pair, (B,) int64.
        reach: band of each pair, (B,) int64.
        kept: how many leading pairs have their values stored.

    Returns:
        (strips, 6) int64: pair, first row, first column, steps, first stored step (0 where nothing is stored),
        first stored chunk.
    """
    count = 0
    for length in n:
        count += (length + LANES - 1) // LANES
    table = np.zeros((count, 6), np.int64)
    k = 0
    stored = 0
    chunks = 0
    for row in range(0, n.max(), LANES):
        for pair in range(len(n)):
            if row < n[pair]:
                last = min(row + LANES, n[pair]) - 1
                start = _columns(row, n[pair], m[pair], reach[pair])[0]
                steps = _columns(last, n[pair], m[pair], reach[pair])[1] - start + last - row
                table[k, PAIR] = pair
                table[k, ROW] = row
                table[k, START] = start
                table[k, STEPS] = steps
                if pair < kept:
                    table[k, STORE] = stored
                    table[k, CHUNKS] = chunks
                    stored += steps
                    chunks += (steps + CHUNK - 1) // CHUNK
                k += 1
    return table


@_jit
def _skew(cost, corner, columns, first, steps, scale, low, high, skewed):
    """Gather a chunk of costs so that the cells of a step lie side by side; walls outside lengths and band.

    Lane l of step t is column first + t - l of row l, that is, cost[corner + t + l * (columns - 1)]; it counts
    when low[l] <= first + t - l < high[l].
    """
    size = cost.itemsize
    wall = skewed.dtype.type(WALL)
    for lane in range(0, LANES, BLOCK):
        # The bounds rise from lane to lane, the column falls: the outermost lanes decide about a block.
        begin = low[lane + BLOCK - 1] + lane + BLOCK - 1 - first
        end = min(high[lane] + lane - first, steps) - BLOCK
        for t in range(0, steps, BLOCK):
            source = corner + t + lane * (columns - 1)
            target = t * LANES + lane
            if begin <= t and t <= end:
                _turn(
                    cost.ctypes.data + source * size,
                    columns - 1,
                    skewed.ctypes.data + target * size,
                    LANES,
                    scale,
                )
                continue
            for side in range(BLOCK):
                j = first + t - lane - side
                for k in range(min(BLOCK, steps - t)):
                    value = wall
                    if low[lane + side] <= j + k and j + k < high[lane + side]:
                        value = cost[source + k + side * (columns - 1)] * scale
                    skewed[target + k * LANES + side] = value


@_jit
def _blemishes(skewed, count):
    """How many of the first costs are infinite or NaN."""
    limit = skewed.dtype.type(math.inf)
    found = np.int32(0)
    for k in range(np.uint64(count)):
        found += np.int32(0) if abs(skewed[k]) < limit else np.int32(1)
    return found


@_jit
def _copy(source, first, target, at, count):
    """target[at : at + count] = source[first : first + count], as vector moves."""
    first, at = np.uint64(first), np.uint64(at)
    for k in range(np.uint64(count)):
        target[at + k] = source[first + k]


@_jit
def _forward_steps(skewed, values, steps):
    """Values of the steps of a chunk; row t + 2 of `values` is step t, behind the value of the row above."""
    one = skewed.dtype.type(1.0)
    for t in range(np.uint64(steps)):
        before = t * _WIDTH
        last = before + _WIDTH
        here = last + _WIDTH
        for lane in range(_LANES):
            up, left, diagonal = values[last + lane], values[last + lane + _ONE], values[before + lane]
            smaller, larger = min(up, left), max(up, left)
            least, middle = min(smaller, diagonal), max(smaller, diagonal)
            total = one + (_exp2(least - larger) + _exp2(least - middle))
            values[here + lane + _ONE] = skewed[t * _LANES + lane] + (least - _log2(total))


@_jit
def forward_strips(
    costs, begin, columns, n, m, reach, scale, table, kept, border, progress, counter, values, store, base
):
    """Work on the forward pass of a batch until no strip is left; any number of threads may run this.

    Args:
        costs: of all pairs, row after row.
        begin: (B + 1,) where the matrix of each pair begins in them, and the last one ends.
        columns: (B,) how far it is from row to row.
        n: rows of each pair.
        m: columns of each pair.
        reach: band of each pair.
        scale: what turns costs into units of gamma * ln 2, in the type of the costs.
        table: of `strip_table`.
        kept: as in `strip_table`.
        border: (B, longest m) float64 filled with WALL: last row of the latest strip of each pair.
        progress: (B, strips) zeros: columns that are ready in the last row of each strip.
        counter: one 0.
        values: (B,) float64, receives the values in units of gamma * ln 2, NaN where a cost is not finite.
        store: (stored steps, LANES + 1), receives the values of all cells of the kept pairs, behind that of
            the row above.
        base: (stored chunks,), receives what each chunk is moved by (for the first, the corner cell instead).
    """
    number = costs.dtype.type
    width = LANES + 1
    stored = store.reshape(-1)
    skewed = np.empty(CHUNK * LANES, costs.dtype)
    chunk = np.empty((CHUNK + 2) * width, costs.dtype)
    low = np.empty(LANES, np.int64)
    high = np.empty(LANES, np.int64)
    while True:
        k = _fetch_add(counter, 0, 1)
        if k >= len(table):
            return
        pair, row, start, steps = table[k, PAIR], table[k, ROW], table[k, START], table[k, STEPS]
        for lane in range(LANES):
            low[lane], high[lane] = _columns(row + lane, n[pair], m[pair], reach[pair])
        strip = row // LANES
        blemishes = 0
        chunk[:] = WALL
        zero = 0.0
        done = 0
        for t0 in range(0, steps, CHUNK):
            count = min(CHUNK, steps - t0)
            if strip > 0:
                while _load(progress, pair, strip - 1) < start + t0 + count:
                    _yield()
            _skew(
                costs,
                begin[pair] + row * columns[pair] + start + t0,
                columns[pair],
                start + t0,
                count,
                scale,
                low,
                high,
                skewed,
            )
            blemishes += _blemishes(skewed, count * LANES)
            if t0 == 0:
                corner = 0.0 if row == 0 else WALL
                if row > 0 and start > 0:
                    corner = border[pair, start - 1]
                zero = min(corner, border[pair, start])
                if zero >= 0.5 * WALL:
                    zero = 0.0
                shift = number(corner - zero)
                chunk[0] = shift
            else:
                _copy(chunk, done * width, chunk, 0, 2 * width)
                shift = chunk[width + 1 : 2 * width].min()
                if shift >= 0.5 * WALL:
                    shift = number(0.0)
                chunk[: 2 * width] -= shift
                zero += shift
            for t in range(count):
                j = start + t0 + t
                chunk[(t + 1) * width] = number((border[pair, j] if j < m[pair] else WALL) - zero)
            _forward_steps(skewed, chunk, count)
            for t in range(count):
                j = start + t0 + t - LANES + 1
                if j >= 0:
                    border[pair, j] = zero + chunk[(t + 2) * width + LANES]
            done = count
            _publish(progress, pair, strip, _DONE if t0 + count == steps else start + t0 + count - LANES + 1)
            if pair < kept:
                base[table[k, CHUNKS] + t0 // CHUNK] = shift
                at = (table[k, STORE] + t0) * width
                _copy(chunk, 2 * width, stored, at, count * width)
                for t in range(count):
                    stored[at + t * width] = chunk[(t + 1) * width]
        if blemishes:
            values[pair] = np.nan
        elif row + LANES >= n[pair] and not np.isnan(values[pair]):
            values[pair] = zero + chunk[(done + 1) * width + n[pair] - row]


@_jit
def _load_values(values, stored, base, first, chunks, t0, count):
    """Bring the values of a chunk, and of the two steps before it, to one base, the row above in front."""
    width = LANES + 1
    shift = base[chunks + t0 // CHUNK]
    at = (first + t0) * width
    _copy(stored, at, values, 2 * width, count * width)
    if t0 == 0:
        values[: 2 * width] = WALL
        values[0] = shift
    else:
        values[: 2 * width] = stored[at - 2 * width : at] - shift
        values[0] = values[width]
    for t in range(count):
        values[(t + 1) * width] = stored[at + t * width]


@_jit
def _shares(values, flows, steps):
    """How each cell of a chunk divides its mass among its three predecessors."""
    one = values.dtype.type(1.0)
    for t in range(np.uint64(steps)):
        before = t * _WIDTH
        last = before + _WIDTH
        here = t * _FLOWS
        for lane in range(_LANES):
            up, left, diagonal = values[last + lane], values[last + lane + _ONE], values[before + lane]
            smaller, larger = min(up, left), max(up, left)
            least, middle = min(smaller, diagonal), max(smaller, diagonal)
            far, near = _exp2(least - larger), _exp2(least - middle)
            share = one / (one + (far + near))
            beside = share if smaller <= diagonal else near * share
            flows[here + lane] = beside if up <= left else far * share
            flows[here + _LEFT + lane] = far * share if up <= left else beside
            flows[here + _DIAGONAL + lane] = near * share if smaller <= diagonal else share


@_jit
def _backward_steps(flows, steps):
    """Occupancies of the steps of a chunk, latest first; shares become what is handed to each predecessor."""
    nothing = flows.dtype.type(0.0)
    faint = flows.dtype.type(FAINT)
    for back in range(np.uint64(steps)):
        t = np.uint64(steps) - _ONE - back
        here = t * _FLOWS
        after = here + _FLOWS
        corner = after + _FLOWS
        for lane in range(_LANES):
            mass = flows[after + _LEFT + lane] + flows[after + lane + _ONE] + flows[corner + _DIAGONAL + lane + _ONE]
            mass = mass if mass > faint else nothing
            flows[here + _VISIT + lane] = mass
            flows[here + lane] *= mass
            flows[here + _LEFT + lane] *= mass
            flows[here + _DIAGONAL + lane] *= mass


@_jit
def _unskew(flows, corner, columns, first, steps, factor, low, high, alignment):
    """Put the occupancies of a chunk back in rows; the mirror of `_skew`."""
    size = flows.itemsize
    for lane in range(0, LANES, BLOCK):
        begin = low[lane + BLOCK - 1] + lane + BLOCK - 1 - first
        end = min(high[lane] + lane - first, steps) - BLOCK
        for t in range(0, steps, BLOCK):
            source = t * FLOWS + VISIT + lane
            target = corner + t + lane * (columns - 1)
            if begin <= t and t <= end:
                _turn(
                    flows.ctypes.data + source * size,
                    FLOWS,
                    alignment.ctypes.data + target * size,
                    columns - 1,
                    factor,
                )
                continue
            for side in range(BLOCK):
                j = first + t - lane - side
                for k in range(max(0, low[lane + side] - j), min(BLOCK, steps - t, high[lane + side] - j)):
                    alignment[target + k + side * (columns - 1)] = flows[source + k * FLOWS + side] * factor


@_jit
def backward_strips(
    begin, columns, n, m, reach, table, kept, inflow, progress, counter, store, base, factor, alignment
):
    """Work on the backward pass of the kept pairs until no strip is left; the mirror of `forward_strips`.

    Args:
        begin: as in `forward_strips`, for `alignment`.
        columns: likewise.
        n: rows of each pair.
        m: columns of each pair.
        reach: band of each pair.
        table: of `strip_table`.
        kept: as in `strip_table`.
        inflow: (B, longest m) zeros: what the row below hands up to each column.
        progress: (B, strips) filled with a number above the longest m: columns from here on are ready in `inflow`.
        counter: one 0.
        store: as written by `forward_strips`.
        base: likewise.
        factor: (B,) what each alignment is multiplied by.
        alignment: of the kept pairs, row after row, uninitialised; every cell is written, 0 beyond the lengths.
    """
    width = LANES + 1
    stored = store.reshape(-1)
    values = np.empty((CHUNK + 2) * width, store.dtype)
    flows = np.empty((CHUNK + 2) * FLOWS, store.dtype)
    low = np.empty(LANES, np.int64)
    high = np.empty(LANES, np.int64)
    while True:
        k = len(table) - 1 - _fetch_add(counter, 0, 1)
        if k < 0:
            return
        pair, row, start, steps = table[k, PAIR], table[k, ROW], table[k, START], table[k, STEPS]
        if pair >= kept:
            continue
        for lane in range(LANES):
            low[lane], high[lane] = _columns(row + lane, n[pair], m[pair], reach[pair])
        strip = row // LANES
        final = row + LANES >= n[pair]
        flows[:] = 0
        for t0 in range((steps - 1) // CHUNK * CHUNK, -1, -CHUNK):
            count = min(CHUNK, steps - t0)
            _copy(flows, 0, flows, count * FLOWS, 2 * FLOWS)
            if final and t0 + count == steps:
                flows[count * FLOWS + LEFT + n[pair] - 1 - row] = 1
            _load_values(values, stored, base, table[k, STORE], table[k, CHUNKS], t0, count)
            _shares(values, flows, count)
            if not final:
                while _load(progress, pair, strip + 1) > start + t0 - LANES + 1:
                    _yield()
            for t in range(count):
                j = start + t0 + t - LANES + 1
                flows[(t + 1) * FLOWS + LANES] = inflow[pair, j] if j >= 0 else 0
            _backward_steps(flows, count)
            for t in range(count):
                if start + t0 + t < m[pair]:
                    inflow[pair, start + t0 + t] = flows[t * FLOWS] + flows[(t + 1) * FLOWS + DIAGONAL]
            if t0 == 0 and start > 0:
                inflow[pair, start - 1] = flows[DIAGONAL]
            _publish(progress, pair, strip, -_DONE if t0 == 0 else start + t0)
            _unskew(
                flows,
                begin[pair] + row * columns[pair] + start + t0,
                columns[pair],
                start + t0,
                count,
                factor[pair],
                low,
                high,
                alignment,
            )
        for lane in range(min(LANES, n[pair] - row)):
            at = begin[pair] + (row + lane) * columns[pair]
            alignment[at : at + low[lane]] = 0
            alignment[at + high[lane] : at + columns[pair]] = 0
        if final:
            alignment[begin[pair] + n[pair] * columns[pair] : begin[pair + 1]] = 0
