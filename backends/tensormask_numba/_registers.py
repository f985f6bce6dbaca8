"""What the compiler does not find by itself: transposition in vector registers, and prefetching.

A row of nodes ``q * s + r`` is a matrix (Q, s), and taking it apart into its s phases, or putting
them together, is a transposition. Four by four it is a few shuffles of registers; the compiler
would gather one element at a time.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types, uintp
from numba.extending import intrinsic

from tensormask_numba._blend import INLINE

_SIDE = 4
# Rows a, b, c, d become columns by interleaving halves twice.
_LOW, _HIGH = (0, 4, 1, 5), (2, 6, 3, 7)
_LEFT, _RIGHT = (0, 1, 4, 5), (2, 3, 6, 7)


@intrinsic
def _transpose_4x4(typing_context, source, at, pitch, target, to, step):
    """Write ``target[to + i * step + j] = source[at + j * pitch + i]`` for i, j below 4."""
    signature = types.void(source, types.uintp, types.uintp, target, types.uintp, types.uintp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, at, pitch, target, to, step = arguments
        kind = signature.args[0].dtype
        size = context.get_abi_sizeof(context.get_data_type(kind))
        vector = ir.VectorType(context.get_data_type(kind), _SIDE)

        def place(array: Any, position: int, start: Any, stride: Any) -> Any:
            data = context.make_array(signature.args[position])(context, builder, array).data
            for _ in range(_SIDE):
                yield builder.bitcast(builder.gep(data, [start]), vector.as_pointer())
                start = builder.add(start, stride)

        def shuffle(first: Any, second: Any, order: tuple[int, ...]) -> Any:
            mask = ir.Constant(ir.VectorType(ir.IntType(32), _SIDE), order)
            return builder.shuffle_vector(first, second, mask)

        a, b, c, d = (builder.load(p, align=size) for p in place(source, 0, at, pitch))
        halves = [(shuffle(a, b, order), shuffle(c, d, order)) for order in (_LOW, _HIGH)]
        columns = [shuffle(*pair, order) for pair in halves for order in (_LEFT, _RIGHT)]
        for column, pointer in zip(columns, place(target, 3, to, step), strict=True):
            builder.store(column, pointer, align=size)
        return context.get_dummy_value()

    return signature, generate


@njit(**INLINE)
def transpose(source, at, pitch, target, to, step, rows, columns):
    """Write ``target[to + i * step + j] = source[at + j * pitch + i]`` for i, j below two extents.

    The last block overlaps the one before it where an extent is no multiple of four.
    """
    four, two, one = uintp(_SIDE), uintp(2), uintp(1)
    if rows == two and pitch == two:
        for j in range(columns):
            target[to + j] = source[at + two * j]
            target[to + step + j] = source[at + two * j + one]
        return
    if columns == two and step == two:
        for i in range(rows):
            target[to + two * i] = source[at + i]
            target[to + two * i + one] = source[at + pitch + i]
        return
    if rows < four or columns < four:
        for i in range(rows):
            for j in range(columns):
                target[to + i * step + j] = source[at + j * pitch + i]
        return
    for i in range(uintp(0), rows, four):
        i = min(i, rows - four)  # noqa: PLW2901  (the last block)
        for j in range(uintp(0), columns, four):
            j = min(j, columns - four)  # noqa: PLW2901  (the last block)
            _transpose_4x4(source, at + j * pitch + i, pitch, target, to + i * step + j, step)


def _prefetch_as(write: bool, level: int) -> Any:
    """Return what fetches the cache line of ``array[at]`` in the background."""

    @intrinsic
    def fetch(typing_context, array, at):
        signature = types.void(array, types.uintp)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array, at = arguments
            byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
            data = context.make_array(signature.args[0])(context, builder, array).data
            kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
            function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
            place = builder.bitcast(builder.gep(data, [at]), byte)
            builder.call(function, [place, word(int(write)), word(level), word(1)])
            return context.get_dummy_value()

        return signature, generate

    return fetch


_fetch_to_read, _fetch_to_write = _prefetch_as(False, 2), _prefetch_as(True, 3)


@njit(**INLINE)
def prefetch(array, begin, end):
    """Fetch the cache lines from ``begin`` to ``end``, which will be read."""
    for at in range(uintp(begin), uintp(end), uintp(16)):
        _fetch_to_read(array, at)


@njit(**INLINE)
def prefetch_for_writing(array, begin, end):
    """Fetch the cache lines from ``begin`` to ``end``, which will be overwritten."""
    for at in range(uintp(begin), uintp(end), uintp(16)):
        _fetch_to_write(array, at)
