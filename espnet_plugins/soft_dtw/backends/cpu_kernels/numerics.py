"""Powers and logarithms of two that LLVM can turn into vector code."""

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import overload

from espnet_plugins.soft_dtw.backends.cpu_kernels.compiling import intrinsic


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


def exp2(x):
    """2 ** x for x <= 0, flat below -60 (where float32 sums do not notice)."""


@overload(exp2, inline="never")
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


def log2(x):
    """log2(x) for 1 <= x <= 3."""


@overload(log2, inline="never")
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
