"""The dense kernel: rows are blended into shared memory, columns out of it.

A program owns a tile of columns and a run of rows. So a sample costs one coalesced read for each
row tap, and a result one read of shared memory for each column tap.
"""

# ruff: noqa: ANN001, ANN202, PLR0913, PLR0917  (a launch passes pointers and numbers, no structures)
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl


# Were these known to be aligned, each thread would read four neighbours in one go; then it would
# read and write samples in fours as well, and neighbouring threads no longer neighbouring samples.
@triton.jit(do_not_specialize_on_alignment=["column_source", "column_target", "column_padding"])
def dense_kernel(
    x, out,
    row_source, row_weight, row_target, row_padding,
    column_source, column_slot, column_weight, column_target, column_padding,
    rows, per_program, groups, tiles, stride_x, stride_out,
    P: tl.constexpr, Q: tl.constexpr, E: tl.constexpr, TAPS: tl.constexpr,
    UNROLLED: tl.constexpr, PAD: tl.constexpr,
):  # fmt: skip
    """Transform a run of rows of one tile of columns; see the tables for the shapes."""
    program = tl.program_id(0)
    tile, group = program % tiles, program // tiles % groups
    image = (program // tiles // groups).to(tl.int64)
    x += image * stride_x
    out += image * stride_out

    source = tl.load(column_source + tile * P + tl.arange(0, P))
    entry = tile * Q * E + tl.arange(0, Q)[:, None] * E + tl.arange(0, E)[None, :]
    slot = tl.reshape(tl.load(column_slot + entry), (Q * E,))
    weight = tl.load(column_weight + entry)  # (Q, E)
    target = tl.load(column_target + tile * Q + tl.arange(0, Q))
    if PAD:
        beyond = tl.load(column_padding + tile * Q + tl.arange(0, Q))

    first, last = group * per_program, tl.minimum((group + 1) * per_program, rows) - 1
    blended = _blend(x, row_source, row_weight, first, source, weight, TAPS, UNROLLED)
    for row in range(first, last + 1):
        gathered = tl.reshape(tl.gather(blended, slot, 0), (Q, E))
        # Samples of the next row travel while this one is made of what has arrived.
        following = tl.minimum(row + 1, last)
        blended = _blend(x, row_source, row_weight, following, source, weight, TAPS, UNROLLED)
        value = tl.sum(gathered * weight, 1)
        if PAD:
            value += tl.load(row_padding + row) + beyond * tl.load(row_padding + rows + row)
        tl.store(out + tl.load(row_target + row) + target, value, mask=target >= 0)


@triton.jit
def _blend(x, sources, weights, row, source, like, TAPS: tl.constexpr, UNROLLED: tl.constexpr):
    """Return the weighted sum of rows at the columns ``source``, 0 where that is -1."""
    sources += row * TAPS
    weights += row * TAPS
    blended = tl.zeros(source.shape, like.dtype)
    # No row is read where all its taps are out of range. (Interpreted, scalars cannot be masks.)
    there = (source >= 0) & (tl.full(source.shape, tl.load(sources), tl.int64) >= 0)
    if UNROLLED:  # then all reads are in flight together
        for tap in tl.static_range(TAPS):
            blended = _add(blended, x + tl.load(sources + tap), weights + tap, source, there)
    else:
        for tap in range(TAPS):
            blended = _add(blended, x + tl.load(sources + tap), weights + tap, source, there)
    return blended


@triton.jit
def _add(blended, line, weight, source, there):
    samples = tl.load(line + source, mask=there, other=0.0)
    return blended + tl.load(weight) * samples.to(blended.dtype)
