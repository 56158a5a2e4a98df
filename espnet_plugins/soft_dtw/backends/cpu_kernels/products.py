"""Products of alignments with frames that leave out what is zero, for alignments that are narrow.

A row of a narrow alignment meets a few dozen frames: too few for a BLAS, whose calls would cost more than its work.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from espnet_plugins.soft_dtw.backends.cpu_kernels.atomics import fetch_add
from espnet_plugins.soft_dtw.backends.cpu_kernels.compiling import intrinsic, jit
from espnet_plugins.soft_dtw.backends.cpu_kernels.strips import LANES, PAIR, ROW
from espnet_plugins.soft_dtw.backends.cpu_kernels.vectors import FORMATS, SIZE, Memory

# Rows that share what is read of the frames.
_ROWS = 4


def _minus_product(rows: int) -> Any:
    """Make a function for some rows and SIZE dimensions.

    into[r, :] = factor * (sums[r] * own[r, :] - sum over k < count of weights[r, k] * other[k, :]), for addresses of
    these, with `pitch` bytes from row to row of `weights` and `stride` bytes from frame to frame.
    """

    @intrinsic
    def compiled(typingctx, factor, into, own, sums, weights, pitch, other, stride, count):
        def codegen(context, builder, signature, args):
            form, number = FORMATS[factor], context.get_value_type(factor)
            scale, into, own, sums, weights, pitch, other, stride, count = args
            vector = ir.VectorType(number, SIZE)

            def at(address, step, k):
                return builder.add(address, builder.mul(step, ir.Constant(step.type, k)))

            def everywhere(scalar):
                one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.IntType(32)(0))
                order = ir.Constant(ir.VectorType(ir.IntType(32), SIZE), [0] * SIZE)
                return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), order)

            def scalar_at(address):
                return builder.load(builder.inttoptr(address, number.as_pointer()))

            def frame(address):
                return Memory(builder, form, number, address)

            size = ir.Constant(ir.IntType(64), form.integer_bits // 8)
            totals = []
            for r in range(rows):
                total = cgutils.alloca_once(builder, vector)
                start = frame(at(own, stride, r))[0].value
                builder.store(builder.fmul(start, everywhere(scalar_at(at(sums, size, r)))), total)
                totals.append(total)
            multiply_add = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{SIZE}f{form.integer_bits}"
            )
            with cgutils.for_range(builder, count, intp=count.type) as loop:
                met = builder.fneg(frame(builder.add(other, builder.mul(loop.index, stride)))[0].value)
                here = builder.add(weights, builder.mul(loop.index, size))
                for r, total in enumerate(totals):
                    weight = everywhere(scalar_at(at(here, pitch, r)))
                    builder.store(builder.call(multiply_add, [weight, met, builder.load(total)]), total)
            for r, total in enumerate(totals):
                place = builder.inttoptr(at(into, stride, r), vector.as_pointer())
                result = builder.fmul(builder.load(total), everywhere(scale))
                builder.store(result, place, align=form.integer_bits // 8)
            return context.get_dummy_value()

        return types.void(factor, *(types.int64,) * 8), codegen

    return compiled


_several_rows, _one_row = _minus_product(_ROWS), _minus_product(1)


@jit
def multiply_strips(alignment, geometry, table, bounds, sums, factor, own, other, into, counter):
    """Work on the gradient of frames until no strip is left; any number of threads may run this.

    into[b, i] = factor * sum over j of alignment[b, i, j] * (own[b, i] - other[b, j]), for the leading len(own) pairs.

    Args:
        alignment: Matrices, as left by `backward_strips`.
        geometry: Geometry.
        table: of strips.
        bounds: as left by `backward_strips`.
        sums: (B, longest n) of the rows of the alignments.
        factor: in the type of the frames.
        own: (B, N, D) frames.
        other: (B, M, D) frames.
        into: (B, N, D), receives the gradient within the lengths.
        counter: one 0; how many strips have been drawn.
    """
    size, dimensions = into.itemsize, into.shape[2]
    stride = dimensions * size
    whole = dimensions // SIZE * SIZE
    while True:
        k = fetch_add(counter, 0, 1)
        if k >= len(table):
            return
        pair, row = table[k, PAIR], table[k, ROW]
        if pair >= len(own):
            continue
        columns = alignment.stride[pair]
        end = min(row + LANES, geometry.n[pair])
        while row < end:
            rows = _ROWS if row + _ROWS <= end else 1
            corner = alignment.begin[pair] + row * columns
            first, last = bounds[pair, row]
            for i in range(row + 1, row + rows):
                first, last = min(first, bounds[pair, i, 0]), max(last, bounds[pair, i, 1])
            to = into.ctypes.data + (pair * into.shape[1] + row) * stride
            of = own.ctypes.data + (pair * own.shape[1] + row) * stride
            met = other.ctypes.data + (pair * other.shape[1] + first) * stride
            scales = sums.ctypes.data + (pair * sums.shape[1] + row) * size
            weights, pitch = alignment.cells.ctypes.data + (corner + first) * size, columns * size
            # A row's dimensions in turn, as they lie in memory.
            for at in range(0, whole * size, SIZE * size):
                if rows == _ROWS:
                    _several_rows(factor, to + at, of + at, scales, weights, pitch, met + at, stride, last - first)
                else:
                    _one_row(factor, to + at, of + at, scales, weights, pitch, met + at, stride, last - first)
            for i in range(row, row + rows):
                for d in range(whole, dimensions):
                    total = sums[pair, i] * own[pair, i, d]
                    for j in range(first, last):
                        total -= alignment.cells[corner + (i - row) * columns + j] * other[pair, j, d]
                    into[pair, i, d] = factor * total
            row += rows
