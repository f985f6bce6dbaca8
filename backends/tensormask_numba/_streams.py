"""Results that no cache holds, written past the caches.

A store of a whole cache line that bypasses the caches does not read the line from memory first,
and leaves the caches to what is read again. It pays for long stretches only: of a line that is
written in parts, the memory gets every part. So rows are collected in a tile first.
"""

from __future__ import annotations

from typing import Any

from numba import njit, types, uintp
from numba.core import cgutils
from numba.extending import intrinsic

from tensormask_numba._blend import INLINE
from tensormask_numba._vectors import LONG, WORD, Vectors, arrays_of

_LINE_BYTES = 64


@intrinsic
def _store_lines(typing_context, arrays, to, at, count):
    """Write ``tile[at:at + count]``, whole lines, to ``out[to:]``, where a line begins."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pair, to, at, count = values
        kinds = signature.args[0]
        out, tile = arrays_of(context, builder, kinds, cgutils.unpack_tuple(builder, pair))
        real = context.get_data_type(kinds[0].dtype)
        size = context.get_abi_sizeof(real)
        vectors = Vectors(builder, real, _LINE_BYTES // size, size)
        bypass = builder.module.add_metadata([WORD(1)])
        step = LONG(vectors.lanes)
        with cgutils.for_range_slice(builder, LONG(0), count, step, intp=LONG) as (i, _):
            line = vectors.load(tile, builder.add(at, i))
            store = vectors.store(line, out, builder.add(to, i), align=_LINE_BYTES)
            store.set_metadata("nontemporal", bypass)
        return context.get_dummy_value()

    return types.void(arrays, to, at, count), generate


@intrinsic
def _samples_to_line(typing_context, array, at):
    """Return how many samples there are from ``array[at]`` to the next begin of a line."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        [data] = arrays_of(context, builder, signature.args[:1], values[:1])
        place = builder.ptrtoint(builder.gep(data, [values[1]]), LONG)
        missing = builder.and_(builder.neg(place), LONG(_LINE_BYTES - 1))
        size = context.get_abi_sizeof(context.get_data_type(signature.args[0].dtype))
        return builder.udiv(missing, LONG(size))

    return types.uintp(array, at), generate


@intrinsic
def wait_for_stores(typing_context):
    """Let other threads see what was written so far before anything that is written later."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@njit(**INLINE)
def stream(out, to, tile, at, count):
    """Write ``tile[at:at + count]`` to ``out[to:]``, past the caches but for the ends."""
    to, at, count = uintp(to), uintp(at), uintp(count)
    head, line = min(count, _samples_to_line(out, to)), uintp(_LINE_BYTES // out.itemsize)
    whole = (count - head) // line * line
    for i in range(head):
        out[to + i] = tile[at + i]
    _store_lines((out, tile), to + head, at + head, whole)
    for i in range(head + whole, count):
        out[to + i] = tile[at + i]
