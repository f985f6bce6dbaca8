"""Rows (v, y): which input rows each output row sums up, in groups of rows that a block shares.

There are two forms. A stencil says more and is faster: a group is 2 x 2 rows that read 3 x 3 rows,
each of them 2 x 2. It fits wherever each place of a lattice of cells and nodes has one input row.
Lists of any length fit always; they serve the adjoints of maps that upscale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tensormask_cupy._periodic import Array, Periodic

ROWS = 4  # output rows per group; the kernel's ROWS


@dataclass(frozen=True, slots=True, eq=False)
class Reads:
    """What M output rows read, K taps each.

    Attributes:
        cell: (M, K) the cell of the input row that a tap reads.
        node: (M, K) its node, out of range for padding.
        source: (M, K) the offset of the input row in an image.
        weight: (M, K) of the tap.
        inside: (M, K) whether there is such a tap in the grid.
        target: (M,) the offset of the output row in an image.
        missing: (M,) the weight of taps outside.
    """

    cell: Array
    node: Array
    source: Array
    weight: Array
    inside: Array
    target: Array
    missing: Array


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Tables of G groups of ``ROWS`` output rows, some of them rows to skip.

    Attributes:
        target: (G * ROWS,) int64, the offset in the output image; -1 is no row.
        missing: (G * ROWS,) the weight of taps outside.
        source: int64 offsets in the input image: of a stencil's 9 rows, -1 for none, (G * 9,); of
            a list's taps, (T,).
        weight: of a stencil's 4 taps of each of 4 rows, (G * 16,); of a list's taps, (T,).
        first: (G * ROWS + 1,) int32, where each row's list begins; (0,) for a stencil.
    """

    target: Array
    missing: Array
    source: Array
    weight: Array
    first: Array


def read_rows(taps: Periodic, columns: Periodic) -> Reads:
    """Return the reads of the rows of ``taps``, in images with the columns of ``columns``."""
    cells, nodes = taps.extent_out
    turn, phase = np.divmod(np.arange(nodes), taps.phases)
    source, weight, count = (table[:, phase] for table in taps.dense())  # (cells, nodes, K, ...)
    cell, node = source[..., 0], source[..., 1] + (turn * taps.stride)[:, None]
    valid = np.arange(weight.shape[-1]) < count[..., None]
    inside = valid & (node >= 0) & (node < taps.extent_in[1])
    missing = taps.cell_missing[:, None] + np.where(valid & ~inside, weight, 0.0).sum(-1)
    offset = _row_offset(cell, node, taps.extent_in[1], columns.extent_in)
    target = _row_offset(np.arange(cells)[:, None], np.arange(nodes), nodes, columns.extent_out)
    cell, node, offset, weight, inside = (
        table.reshape(cells * nodes, -1) for table in (cell, node, offset, weight, inside)
    )
    return Reads(cell, node, offset, weight, inside, target.reshape(-1), missing.reshape(-1))


def list_rows(reads: Reads) -> Rows:
    """Return the tables of lists; rows of a group read of neighbouring cells and nodes."""
    cell, node = reads.cell[:, 0], reads.node[:, 0]
    order = np.lexsort((node % 2, cell % 2, node // 2, cell // 2))
    taken = reads.inside[order]
    skipped = -len(order) % ROWS
    count = np.pad(taken.sum(-1), (1, skipped))
    return Rows(
        np.pad(reads.target[order], (0, skipped), constant_values=-1),
        np.pad(reads.missing[order], (0, skipped)),
        reads.source[order][taken],
        reads.weight[order][taken],
        np.cumsum(count, dtype=np.int32),
    )


def _row_offset(cell: Array, node: Array, nodes: int, columns: tuple[int, int]) -> Array:
    """Return where row (cell, node) of an image (V, U, H, W) begins."""
    cells_across, width = columns
    return (cell * (cells_across * nodes) + node) * width
