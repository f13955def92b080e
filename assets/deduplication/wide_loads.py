"""Loads and tests of many bytes at once, as numba intrinsics.

Why: one comparison settles 64 bytes where the machine has 512-bit registers, and LLVM splits the same
instruction into two or four where it has not, so one source serves every machine and needs no build step.
Positions are not checked: the caller leaves as many readable (writable) bytes behind them.

Compiled code is cached by the file of the outermost loop: after a change here, or in another file of
loops that one calls, remove the `__pycache__` folders.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]  # no stubs exist
from numba.core import cgutils, types
from numba.extending import intrinsic

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
_BYTE, _BIT, _WORD = ir.IntType(8), ir.IntType(1), ir.IntType(64)
LANES = 16
_BYTES = ir.VectorType(_BYTE, 64)


def _pointer(context: Any, builder: Any, kind: Any, place: Any, to: Any) -> Any:  # noqa: ANN401 - numba's own types
    array, position = place
    made = context.make_array(kind)(context, builder, array)
    return builder.bitcast(builder.gep(made.data, [position]), to.as_pointer())


def _spread(value: int) -> Any:  # noqa: ANN401 - llvmlite has no types
    return ir.Constant(_BYTES, [ir.Constant(_BYTE, value & 255)] * 64)


def _store8(typing: Any, data: Any, position: Any, word: Any) -> Any:  # noqa: ANN401 - numba's own types
    """Store eight bytes, little endian, at any position of a uint8 array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        place = _pointer(context, builder, signature.args[0], arguments[:2], _WORD)
        builder.store(arguments[2], place, align=1)
        return context.get_dummy_value()

    return types.void(data, position, types.uint64), generate


def _trailing_zeros(typing: Any, word: Any) -> Any:  # noqa: ANN401 - numba's own types
    """Count the trailing zero bits of a 64-bit word; 64 for 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        return builder.cttz(arguments[0], ir.Constant(_BIT, 0))

    return types.uint64(types.uint64), generate


def _high64(typing: Any, data: Any, position: Any) -> Any:  # noqa: ANN401 - numba's own types
    """Return a bit for each of 64 bytes: set where it is not ASCII."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        place = _pointer(context, builder, signature.args[0], arguments, _BYTES)
        high = builder.icmp_signed("<", builder.load(place, align=1), _spread(0))
        return builder.bitcast(high, _WORD)

    return types.uint64(data, position), generate


def _lower64(typing: Any, data: Any, position: Any, low: Any, where: Any) -> Any:  # noqa: ANN401 - numba's own types
    r"""Write 64 bytes with ASCII letters lower-cased; return a bit for each, set in `\w` and above ASCII."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        source = _pointer(context, builder, signature.args[0], arguments[:2], _BYTES)
        target = _pointer(context, builder, signature.args[2], arguments[2:], _BYTES)
        read = builder.load(source, align=1)

        def within(value: Any, first: str, count: int) -> Any:  # noqa: ANN401 - llvmlite has no types
            return builder.icmp_unsigned(
                "<", builder.sub(value, _spread(ord(first))), _spread(count)
            )

        upper = builder.sext(within(read, "A", 26), _BYTES)
        small = builder.or_(read, builder.and_(upper, _spread(0x20)))
        builder.store(small, target, align=1)
        word = builder.or_(within(small, "a", 26), within(small, "0", 10))
        word = builder.or_(word, builder.icmp_unsigned("==", small, _spread(ord("_"))))
        word = builder.or_(word, builder.icmp_signed("<", small, _spread(0)))
        return builder.bitcast(word, _WORD)

    return types.uint64(data, position, low, where), generate


def _lower_minima(lanes: int) -> Callable[..., Any]:
    vector = ir.VectorType(ir.IntType(32), lanes)

    def lower(
        typing: Any,  # noqa: ANN401 - numba's own types
        hashes: Any,  # noqa: ANN401
        count: Any,  # noqa: ANN401
        factors: Any,  # noqa: ANN401
        addends: Any,  # noqa: ANN401
        minima: Any,  # noqa: ANN401
        first: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Lower minima[first:first + lanes] to the least factor * hash + addend over hashes[:count].

        One number of each lane stays in a register, so that there is nothing to reduce at the end.
        """

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
            kinds = signature.args
            place = arguments[5]

            def of_lanes(which: int) -> Any:  # noqa: ANN401 - llvmlite has no types
                return _pointer(context, builder, kinds[which], (arguments[which], place), vector)

            factor = builder.load(of_lanes(2), align=4)
            addend = builder.load(of_lanes(3), align=4)
            target = of_lanes(4)
            held = cgutils.alloca_once_value(builder, builder.load(target, align=4))
            data = context.make_array(kinds[0])(context, builder, arguments[0]).data
            with cgutils.for_range(builder, arguments[1]) as loop:
                one = builder.load(builder.gep(data, [loop.index]))
                alone = builder.insert_element(
                    ir.Constant(vector, ir.Undefined), one, ir.Constant(ir.IntType(32), 0)
                )
                spread = builder.shuffle_vector(
                    alone, ir.Constant(vector, ir.Undefined), ir.Constant(vector, [0] * lanes)
                )
                value = builder.add(builder.mul(spread, factor), addend)
                least = builder.load(held)
                smaller = builder.icmp_unsigned("<", value, least)
                builder.store(builder.select(smaller, value, least), held)
            builder.store(builder.load(held), target, align=4)
            return context.get_dummy_value()

        return types.void(hashes, types.intp, factors, addends, minima, types.intp), generate

    return lower


store8: Callable[[U8, int, np.uint64], None] = intrinsic(_store8)
trailing_zeros: Callable[[np.uint64], np.uint64] = intrinsic(_trailing_zeros)
high64: Callable[[U8, int], np.uint64] = intrinsic(_high64)
lower64: Callable[[U8, int, U8, int], np.uint64] = intrinsic(_lower64)
lower_minima: Callable[[U32, int, U32, U32, U32, int], None] = intrinsic(_lower_minima(LANES))
lower_minima_of_two: Callable[[U32, int, U32, U32, U32, int], None] = intrinsic(
    _lower_minima(2 * LANES)
)
