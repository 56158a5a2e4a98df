"""Arithmetic on short vectors, written out for LLVM instead of left to its search for vector code in loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils

from espnet_plugins.soft_dtw.backends.cpu_kernels.compiling import intrinsic

# Numbers of a vector: one or two registers of most processors.
SIZE = 16


class _Format(NamedTuple):
    """How a floating type keeps a number.

    Args:
        integer_bits: all of them.
        fraction_bits: those of the fraction.
    """

    integer_bits: int
    fraction_bits: int

    @property
    def bias(self) -> int:
        return (1 << (self.integer_bits - self.fraction_bits - 2)) - 1


FORMATS = {types.float32: _Format(32, 23), types.float64: _Format(64, 52)}


class Vector:
    """SIZE numbers of one floating type inside a function that is being compiled.

    Args:
        builder: of LLVM.
        form: of the type.
        value: of LLVM.
    """

    def __init__(self, builder: Any, form: _Format, value: Any) -> None:
        self.builder, self.form, self.value = builder, form, value

    @property
    def is_double(self) -> bool:
        """Whether these are float64."""
        return self.form.integer_bits == 64

    def _new(self, value: Any) -> Vector:
        return Vector(self.builder, self.form, value)

    def _of(self, other: Vector | float) -> Any:
        return other.value if isinstance(other, Vector) else ir.Constant(self.value.type, [other] * SIZE)

    def __add__(self, other: Vector | float) -> Vector:
        return self._new(self.builder.fadd(self.value, self._of(other)))

    def __sub__(self, other: Vector | float) -> Vector:
        return self._new(self.builder.fsub(self.value, self._of(other)))

    def __mul__(self, other: Vector | float) -> Vector:
        return self._new(self.builder.fmul(self.value, self._of(other)))

    def __rtruediv__(self, other: float) -> Vector:
        return self._new(self.builder.fdiv(self._of(other), self.value))

    def times_plus(self, factor: Vector, addend: float) -> Vector:
        """self * factor + addend, rounded once where the processor can."""
        return self._call("llvm.fmuladd", factor.value, self._of(addend))

    def minimum(self, other: Vector) -> Vector:
        """The smaller of each two."""
        return self._new(self.builder.select(self < other, self.value, other.value))

    def maximum(self, other: Vector) -> Vector:
        """The larger of each two."""
        return self._new(self.builder.select(self < other, other.value, self.value))

    def above_or(self, least: float, instead: float) -> Vector:
        """Numbers above `least`; `instead` for the others."""
        return self.choose_above(least, self, instead)

    def choose_above(self, least: float, chosen: Vector, instead: Vector | float) -> Vector:
        """`chosen` where these are above `least`, `instead` where not."""
        above = self.builder.fcmp_ordered(">", self.value, self._of(least))
        return self._new(self.builder.select(above, chosen.value, self._of(instead)))

    def nearest(self) -> Vector:
        """The nearest whole numbers."""
        return self._call("llvm.rint")

    def exponential(self) -> Vector:
        """Powers of e, by the C library where the processor has none."""
        return self._call("llvm.exp")

    def __lt__(self, other: Vector) -> Any:
        return self.builder.fcmp_ordered("<", self.value, other.value)

    def not_finite(self) -> Any:
        """Which are infinite or NaN."""
        return self.builder.fcmp_unordered("uge", self._call("llvm.fabs").value, self._of(float("inf")))

    def scaled(self, exponent: Vector) -> Vector:
        """self * 2 ** exponent for normal numbers and whole exponents <= 0; flat below where sums do not notice.

        That is far enough above the smallest numbers for the product to be no denormal one.
        """
        least = -900.0 if self.is_double else -100.0
        # Adding this leaves the nearest whole number in the low bits.
        shifted = exponent.above_or(least, least) + 1.5 * 2.0**self.form.fraction_bits
        return self._from_bits(
            self.builder.add(self._bits(), self.builder.shl(shifted._bits(), self._whole(self.form.fraction_bits)))
        )

    def split(self) -> tuple[Vector, Vector]:
        """Whole e and m in [1, 2) with self = m * 2 ** e, of positive normal numbers."""
        whole, builder, form = self._whole, self.builder, self.form
        bits = self._bits()
        exponent = builder.sub(builder.lshr(bits, whole(form.fraction_bits)), whole(form.bias))
        fraction = builder.and_(bits, whole((1 << form.fraction_bits) - 1))
        one = whole(form.bias << form.fraction_bits)
        return self._new(builder.sitofp(exponent, self.value.type)), self._from_bits(builder.or_(fraction, one))

    def _call(self, name: str, *others: Any) -> Vector:
        kind = self.value.type
        signature = ir.FunctionType(kind, [kind] * (1 + len(others)))
        name = f"{name}.v{SIZE}f{self.form.integer_bits}"
        function = cgutils.get_or_insert_function(self.builder.module, signature, name)
        return self._new(self.builder.call(function, [self.value, *others]))

    def _whole(self, number: int) -> Any:
        kind = ir.VectorType(ir.IntType(self.form.integer_bits), SIZE)
        return ir.Constant(kind, [number] * SIZE)

    def _bits(self) -> Any:
        return self.builder.bitcast(self.value, ir.VectorType(ir.IntType(self.form.integer_bits), SIZE))

    def _from_bits(self, bits: Any) -> Vector:
        return self._new(self.builder.bitcast(bits, self.value.type))


class Memory:
    """Where vectors are read from and written to.

    Args:
        builder: of LLVM.
        form: of the type of the numbers.
        number: that type, of LLVM.
        address: of number 0.
    """

    def __init__(self, builder: Any, form: _Format, number: Any, address: Any) -> None:
        self.builder, self.form, self.number, self.address = builder, form, number, address

    def __getitem__(self, first: int) -> Vector:
        return Vector(self.builder, self.form, self.builder.load(self._pointer(first), align=self._size))

    def __setitem__(self, first: int, vector: Vector) -> None:
        self.builder.store(vector.value, self._pointer(first), align=self._size)

    @property
    def _size(self) -> int:
        return self.form.integer_bits // 8

    def _pointer(self, first: int) -> Any:
        address = self.builder.add(self.address, ir.Constant(self.address.type, first * self._size))
        return self.builder.inttoptr(address, ir.VectorType(self.number, SIZE).as_pointer())


def on_vectors(function: Callable[[Memory, Memory, Memory], Any]) -> Any:
    """Compile a function that reads and writes vectors.

    Args:
        function: It is called once for each type, with three places in memory; returns None, or a list of comparisons.

    Returns:
        A function for kernels, of any number of the type and of the three addresses; it returns a number that is not 0
        where one of the comparisons holds somewhere.
    """

    @intrinsic
    def compiled(typingctx, like, first, second, third):
        def codegen(context, builder, signature, args):
            form, number = FORMATS[like], context.get_value_type(like)
            places = (Memory(builder, form, number, address) for address in args[1:])
            found = ir.Constant(ir.IntType(SIZE), 0)
            for comparison in function(*places) or ():
                found = builder.or_(found, builder.bitcast(comparison, ir.IntType(SIZE)))
            return builder.zext(found, ir.IntType(64))

        return types.int64(like, *(types.int64,) * 3), codegen

    return compiled
