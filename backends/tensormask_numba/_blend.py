"""Weighted sums of rows, four at a time: where all of the arithmetic happens.

Rows are summed in vectors, the last of which overlaps the one before: the compiler's own loops
first compare where rows lie, and end in single samples. Offsets are unsigned, which spares the
check for negative indices. Nothing is allocated here, so arrays are not counted (`_nrt`): the
counters cost more than a short row.
"""

from __future__ import annotations

from typing import Any

from numba import njit, types, uintp
from numba.core import cgutils
from numba.extending import intrinsic

from tensormask_numba._vectors import FEW, LONG, MANY, Vectors, arrays_of

KERNEL = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"contract"},
    "_nrt": False,
}
INLINE = KERNEL | {"forceinline": True}

LINE = 16  # samples: buffers, and rows in them, begin at cache lines
_UNROLLED = 4 * MANY  # samples of long rows at a time


@njit(**INLINE)
def fill(target, begin, end, value):
    """Write ``value`` from ``begin`` to ``end``."""
    for i in range(uintp(begin), uintp(end)):
        target[i] = value


@intrinsic
def _sum_in_vectors(typing_context, arrays, to, length, sources, weights, constant):
    """Write ``constant + sum of weights[i] * source[sources[i]:]``, FEW samples or more."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pair, to, length, sources, weights, constant = values
        data = arrays_of(context, builder, signature.args[0], cgutils.unpack_tuple(builder, pair))
        sources, weights = (cgutils.unpack_tuple(builder, value) for value in (sources, weights))
        size = context.get_abi_sizeof(constant.type)

        def of(lanes: int) -> None:
            vectors = Vectors(builder, constant.type, lanes, size)
            shares, first = [vectors.splat(weight) for weight in weights], vectors.splat(constant)
            last = builder.sub(length, LONG(lanes))
            steps = cgutils.for_range_slice(builder, LONG(0), length, LONG(lanes), intp=LONG)
            with steps as (i, _):
                at = builder.select(builder.icmp_signed("<", i, last), i, last)
                total = first
                for place, share in zip(sources, shares, strict=True):
                    vector = vectors.load(data[1], builder.add(place, at))
                    total = builder.fadd(total, vectors.product(share, vector), flags=("contract",))
                vectors.store(total, data[0], builder.add(to, at))

        few, many = (builder.icmp_signed("<", length, LONG(k)) for k in (MANY, 2 * _UNROLLED))
        with builder.if_else(few) as (if_few, if_more):
            with if_few:
                of(FEW)
            with if_more, builder.if_else(many) as (if_many, if_most):
                with if_many:
                    of(MANY)
                with if_most:
                    of(_UNROLLED)
        return context.get_dummy_value()

    return types.void(arrays, to, length, sources, weights, constant), generate


@njit(**INLINE)
def _sum(target, to, length, source, sources, weights, constant):
    """Write a sum of as many rows as ``sources`` names."""
    if length < FEW:
        for i in range(length):
            total = constant
            for k in range(len(sources)):
                total += weights[k] * source[sources[k] + i]
            target[to + i] = total
    else:
        _sum_in_vectors((target, source), to, length, sources, weights, constant)


@njit(**INLINE)
def blend(target, to, length, source, offset, lift, weight, begin, end, constant):
    """Write ``constant + sum of weight[e] * source[lift + offset[e]:]`` to ``target[to:]``."""
    count = end - begin
    e, n = uintp(begin), uintp(length)
    one, two, three = uintp(1), uintp(2), uintp(3)
    if count == 0:
        fill(target, to, to + length, constant)
        return
    o0, w0 = uintp(lift + offset[e]), weight[e]
    if count == 1:
        _sum(target, to, n, source, (o0,), (w0,), constant)
        return
    o1, w1 = uintp(lift + offset[e + one]), weight[e + one]
    if count == 2:
        _sum(target, to, n, source, (o0, o1), (w0, w1), constant)
        return
    o2, w2 = uintp(lift + offset[e + two]), weight[e + two]
    if count == 3:
        _sum(target, to, n, source, (o0, o1, o2), (w0, w1, w2), constant)
        return
    o3, w3 = uintp(lift + offset[e + three]), weight[e + three]
    _sum(target, to, n, source, (o0, o1, o2, o3), (w0, w1, w2, w3), constant)
    for rest in range(begin + 4, end):
        w0, o0 = weight[rest], uintp(lift + offset[rest])
        for i in range(n):
            target[to + i] += w0 * source[o0 + i]


@njit(**INLINE)
def blend_shifted(
    target, to, rows, width, source, offset, lift, shift, weight, begin, end, constant, pad, span
):  # fmt: skip
    """Do the same for ``rows`` rows of ``width`` that follow each other, read with a shift.

    Entries are sorted by shift. ``span`` names the columns x where any entry stays within its row
    and, of these, where all do. The rows are blended as one long row: reads that leave a row go
    wrong, but only in columns outside, which are written afterwards.
    """
    any_begin, all_begin, all_end, any_end = span
    if all_begin < all_end:
        length = (rows - 1) * width + all_end - all_begin
        at = to + all_begin
        blend(
            target, uintp(at), uintp(length), source, offset, lift + all_begin, weight, begin, end,
            constant,
        )  # fmt: skip
    else:
        all_begin = all_end = any_end
    if any_begin > 0 or any_end < width:
        fill(target, to, to + any_begin, pad)
        for row in range(to + width, to + rows * width, width):
            fill(target, row - width + any_end, row + any_begin, pad)
        fill(target, to + (rows - 1) * width + any_end, to + rows * width, pad)
    for x in range(any_begin, any_end):
        if all_begin <= x < all_end:
            continue
        first, last = begin, end
        value = constant
        while x + shift[first] < 0:
            value += weight[first] * pad
            first += 1
        while x + shift[last - 1] >= width:
            last -= 1
            value += weight[last] * pad
        for y in range(rows):
            total = value
            for e in range(first, last):
                total += weight[e] * source[uintp(lift + offset[e] + y * width + x)]
            target[uintp(to + y * width + x)] = total
