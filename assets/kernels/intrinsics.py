"""Machine operations that numba has no name for, to call from compiled functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]  # no stubs exist
from numba.core import types
from numba.extending import intrinsic

Bytes = npt.NDArray[np.uint8]


def _loader(bits: int) -> Callable[..., Any]:
    def load(typing: Any, data: Any, position: Any) -> Any:  # noqa: ANN401 - numba's own types
        """Load a little-endian word from any position of a uint8 array."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            pointer = builder.gep(array.data, [arguments[1]])
            word = builder.load(builder.bitcast(pointer, ir.IntType(bits).as_pointer()), align=1)
            return builder.zext(word, ir.IntType(64)) if bits < 64 else word

        return types.uint64(data, position), generate

    return load


def _population_count(typing: Any, word: Any) -> Any:  # noqa: ANN401 - numba's own types
    """Count the bits of a 64-bit word that are set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


load4: Callable[[Bytes, int | np.uint64], np.uint64] = intrinsic(_loader(32))
load8: Callable[[Bytes, int | np.uint64], np.uint64] = intrinsic(_loader(64))
population_count: Callable[[np.uint64], np.uint64] = intrinsic(_population_count)
