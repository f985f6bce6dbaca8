"""Copies and sums of a few neighbouring samples at once, in one vector register.

The compiler turns loops over many samples into vectors, but a loop over the four or five samples
of a run takes it as long as one over many: it has to look how many there are, and if they overlap.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

from tensormask_numba._vectors import Vectors, arrays_of


def _lanes(count: int) -> tuple[Any, Any]:
    """Return what copies ``count`` samples of ``x`` to a window, and what adds them back."""

    def both(context: Any, builder: Any, signature: Any, values: Any) -> tuple[Any, Any, Any]:
        """Return the instructions, and the pointers and places of the samples of both."""
        real = context.get_data_type(signature.args[0].dtype)
        vectors = Vectors(builder, real, count, context.get_abi_sizeof(real))
        x, window = arrays_of(context, builder, signature.args[::2], values[::2])
        return vectors, (x, values[1]), (window, values[3])

    @intrinsic
    def copy(typing_context: Any, x: Any, at: Any, window: Any, to: Any) -> Any:
        signature = types.void(x, types.uintp, window, types.uintp)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vectors, x, window = both(context, builder, signature, arguments)
            vectors.store(vectors.load(*x), *window)
            return context.get_dummy_value()

        return signature, generate

    @intrinsic
    def add(typing_context: Any, x: Any, at: Any, window: Any, to: Any) -> Any:
        signature = types.void(x, types.uintp, window, types.uintp)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vectors, x, window = both(context, builder, signature, arguments)
            vectors.store(builder.fadd(vectors.load(*x), vectors.load(*window)), *x)
            return context.get_dummy_value()

        return signature, generate

    return copy, add


COPY, ADD = zip(*map(_lanes, (8, 4, 2, 1)), strict=True)
