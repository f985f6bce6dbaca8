"""Copies and sums of a few neighbouring samples at once, in one vector register.

The compiler turns loops over many samples into vectors, but a loop over the four or five samples
of a run takes it as long as one over many: it has to look how many there are, and if they overlap.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def _lanes(count: int) -> tuple[Any, Any]:
    """Return what copies ``count`` samples of ``x`` to a window, and what adds them back."""

    def parts(context: Any, builder: Any, kinds: Any, arguments: Any) -> tuple[Any, Any, int]:
        """Return the pointers to the samples of both, and the size of one."""
        kind = context.get_data_type(kinds[0].dtype)
        vector = ir.VectorType(kind, count).as_pointer()
        places = []
        for position in (0, 2):
            array = context.make_array(kinds[position])(context, builder, arguments[position])
            place = builder.gep(array.data, [arguments[position + 1]])
            places.append(builder.bitcast(place, vector))
        return *places, context.get_abi_sizeof(kind)

    @intrinsic
    def copy(typing_context: Any, x: Any, at: Any, window: Any, to: Any) -> Any:
        signature = types.void(x, types.uintp, window, types.uintp)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            x, window, size = parts(context, builder, signature.args, arguments)
            builder.store(builder.load(x, align=size), window, align=size)
            return context.get_dummy_value()

        return signature, generate

    @intrinsic
    def add(typing_context: Any, x: Any, at: Any, window: Any, to: Any) -> Any:
        signature = types.void(x, types.uintp, window, types.uintp)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            x, window, size = parts(context, builder, signature.args, arguments)
            before, more = (builder.load(place, align=size) for place in (x, window))
            builder.store(builder.fadd(before, more), x, align=size)
            return context.get_dummy_value()

        return signature, generate

    return copy, add


COPY, ADD = zip(*map(_lanes, (8, 4, 2, 1)), strict=True)
