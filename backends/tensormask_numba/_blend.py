"""Weighted sums of rows, four at a time: where all of the arithmetic happens.

Offsets are unsigned, which spares the compiler the check for negative indices and lets it use
vector instructions throughout. Nothing is allocated here, so arrays are not counted (`_nrt`): the
counters cost more than a short row.
"""

from __future__ import annotations

from numba import njit, uintp

KERNEL = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"contract"},
    "_nrt": False,
}
INLINE = KERNEL | {"forceinline": True}

LINE = 16  # samples: buffers, and rows in them, begin at cache lines


@njit(**INLINE)
def blend(target, to, length, source, offset, lift, weight, begin, end, constant):
    """Write ``constant + sum of weight[e] * source[lift + offset[e]:]`` to ``target[to:]``."""
    count = end - begin
    e = uintp(begin)
    one, two, three = uintp(1), uintp(2), uintp(3)
    if count == 0:
        for i in range(length):
            target[to + i] = constant
    elif count == 1:
        w0, o0 = weight[e], uintp(lift + offset[e])
        for i in range(length):
            target[to + i] = constant + w0 * source[o0 + i]
    elif count == 2:
        w0, o0 = weight[e], uintp(lift + offset[e])
        w1, o1 = weight[e + one], uintp(lift + offset[e + one])
        for i in range(length):
            target[to + i] = constant + w0 * source[o0 + i] + w1 * source[o1 + i]
    elif count == 3:
        w0, o0 = weight[e], uintp(lift + offset[e])
        w1, o1 = weight[e + one], uintp(lift + offset[e + one])
        w2, o2 = weight[e + two], uintp(lift + offset[e + two])
        for i in range(length):
            target[to + i] = (
                constant + w0 * source[o0 + i] + w1 * source[o1 + i] + w2 * source[o2 + i]
            )
    else:
        w0, o0 = weight[e], uintp(lift + offset[e])
        w1, o1 = weight[e + one], uintp(lift + offset[e + one])
        w2, o2 = weight[e + two], uintp(lift + offset[e + two])
        w3, o3 = weight[e + three], uintp(lift + offset[e + three])
        for i in range(length):
            target[to + i] = (
                constant
                + w0 * source[o0 + i]
                + w1 * source[o1 + i]
                + w2 * source[o2 + i]
                + w3 * source[o3 + i]
            )
        for rest in range(begin + 4, end):
            w0, o0 = weight[rest], uintp(lift + offset[rest])
            for i in range(length):
                target[to + i] += w0 * source[o0 + i]


@njit(**INLINE)
def fill(target, begin, end, value):
    """Write ``value`` from ``begin`` to ``end``."""
    for i in range(uintp(begin), uintp(end)):
        target[i] = value


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
