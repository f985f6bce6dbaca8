"""The dense transform and its adjoint: one kernel that applies two matrices, rows then columns."""

from __future__ import annotations

from typing import Any

import numba
from numba import cuda, int32, int64, uint32, uint64

from tensormask_numba.cuda._elements import ELEMENTS, accessors
from tensormask_numba.cuda._tables import ROWS, SLOT_BITS, slots_of

LANES = 4
"""Columns that a thread reads at once: independent reads hide each other's latency."""


def _first_column(thread: Any, nodes: Any) -> Any:
    """Return cell and node of a thread's first column in a box so many nodes wide."""
    cell, node = divmod(thread, nodes)
    return int32(cell), int32(node)


def _next_column(walk: Any, threads: Any, nodes: Any) -> Any:
    """Return cell and node of a thread's next column."""
    cells, step = divmod(int32(threads), nodes)
    cell, node = walk[0] + cells, walk[1] + step
    if node >= nodes:
        cell, node = cell + 1, node - nodes
    return int32(cell), int32(node)


def _slot_of(columns: Any, tile: Any, walk: Any) -> Any:
    """Return where a column that the tile reads lies in shared memory."""
    shift, nodes, pitch = columns.phase[tile, 0], columns.phase[tile, 1], columns.phase[tile, 2]
    remainder = walk[1] & ((1 << shift) - 1)
    return int32(walk[0] * pitch + remainder * nodes + (walk[1] >> shift))


def make_tiled(name: str) -> Any:
    """Return the kernel of tiles for one dtype.

    A block owns the groups and tiles ``n, group, tile``. Where a weight is 0 nothing is added, so
    that an infinite sample stays with the outputs that read it.
    """
    load, store = accessors(name)
    compute = getattr(numba, ELEMENTS[name].compute)
    first_column, next_column, slot_of = (
        cuda.jit(device=True)(f) for f in (_first_column, _next_column, _slot_of)
    )
    slots, low_bits = slots_of(ELEMENTS[name].compute), (1 << SLOT_BITS) - 1

    def gather_rows(x: Any, rows: Any, columns: Any, place: Any, cells: Any) -> None:
        """Blend the rows of a group, as far as the tile reads them, into shared memory."""
        n, group, tile = place
        value, total = cuda.local.array(LANES, compute), cuda.local.array((LANES, ROWS), compute)
        offset, slot = cuda.local.array(LANES, int64), cuda.local.array(LANES, int32)
        count, threads = columns.size[tile, 2] * columns.size[tile, 3], cuda.blockDim.x
        start = x.first + n * x.n + columns.corner[tile, 2] * x.u + columns.corner[tile, 3] * x.x
        walk = first_column(cuda.threadIdx.x, columns.size[tile, 3])
        for base in range(cuda.threadIdx.x, count, LANES * threads):
            for lane in range(LANES):
                inside = base + lane * threads < count
                slot[lane] = slot_of(columns, tile, walk) if inside else -1
                offset[lane] = start + walk[0] * x.u + walk[1] * x.x if inside else start
                walk = next_column(walk, threads, columns.size[tile, 3])
                for r in range(ROWS):
                    total[lane, r] = 0
            for e in range(rows.start[group], rows.start[group + 1]):
                row = rows.source[e, 0] * x.v + rows.source[e, 1] * x.y
                for lane in range(LANES):
                    value[lane] = load(x.data[uint64(row + offset[lane])])
                for r in range(ROWS):
                    weight = rows.weight[e, r]
                    if weight != 0:
                        for lane in range(LANES):
                            total[lane, r] += weight * value[lane]
            for lane in range(LANES):
                if slot[lane] >= 0:
                    for r in range(ROWS):
                        cells[uint32(r), uint32(slot[lane])] = total[lane, r]

    def gather_columns(out: Any, rows: Any, columns: Any, place: Any, cells: Any, pad: Any) -> None:
        """Blend the tile's columns out of shared memory and write them."""
        n, group, tile = place
        total = cuda.local.array(ROWS, compute)
        count, threads = columns.size[tile, 0] * columns.size[tile, 1], cuda.blockDim.x
        start = out.first + n * out.n
        start += columns.corner[tile, 0] * out.u + columns.corner[tile, 1] * out.x
        walk = first_column(cuda.threadIdx.x, columns.size[tile, 1])
        for local in range(cuda.threadIdx.x, count, threads):
            column = columns.first[tile] + local
            for r in range(ROWS):
                total[r] = 0
            for t in range(columns.start[column], columns.start[column + 1]):
                tap = columns.tap[t]
                weight, slot = columns.weight[tap >> SLOT_BITS], tap & low_bits
                for r in range(ROWS):
                    total[r] += weight * cells[uint32(r), uint32(slot)]
            offset = start + walk[0] * out.u + walk[1] * out.x
            walk = next_column(walk, threads, columns.size[tile, 1])
            for r in range(ROWS):
                v, y = rows.target[group, r, 0], rows.target[group, r, 1]
                if v >= 0:
                    if pad != 0:
                        missed = rows.missing[group, r]
                        missed += (1 - missed) * columns.missing[column]
                        if missed > 0:
                            total[r] += pad * missed
                    out.data[uint64(offset + v * out.v + y * out.y)] = store(total[r])

    gather_rows, gather_columns = (cuda.jit(device=True)(f) for f in (gather_rows, gather_columns))

    def tiled(x: Any, out: Any, rows: Any, columns: Any, blocks: Any, pad: Any) -> None:
        cells = cuda.shared.array((ROWS, slots), compute)
        for block in range(cuda.blockIdx.x, blocks, cuda.gridDim.x):
            pair, tile = divmod(block, len(columns.first))
            n, group = divmod(pair, len(rows.target))
            gather_rows(x, rows, columns, (n, group, tile), cells)
            cuda.syncthreads()
            gather_columns(out, rows, columns, (n, group, tile), cells, pad)
            cuda.syncthreads()

    return cuda.jit(tiled)


def make_direct(name: str) -> Any:
    """Return the kernel without shared memory, for columns that read more than it holds."""
    load, store = accessors(name)
    compute = getattr(numba, ELEMENTS[name].compute)

    def direct(x: Any, out: Any, rows: Any, columns: Any, count: Any, pad: Any) -> None:
        width = len(columns.missing)
        for item in range(cuda.grid(1), count, cuda.gridsize(1)):
            pair, column = divmod(item, width)
            n, row = divmod(pair, len(rows.missing))
            total = compute(0)
            for i in range(rows.start[row], rows.start[row + 1]):
                base = x.first + n * x.n + rows.source[i, 0] * x.v + rows.source[i, 1] * x.y
                for j in range(columns.start[column], columns.start[column + 1]):
                    at = base + columns.source[j, 0] * x.u + columns.source[j, 1] * x.x
                    weight = rows.weight[i] * columns.weight[j]
                    total += weight * load(x.data[uint64(at)])
            missed = rows.missing[row]
            missed += (1 - missed) * columns.missing[column]
            if missed > 0:
                total += pad * missed
            at = out.first + n * out.n + rows.target[row, 0] * out.v + rows.target[row, 1] * out.y
            at += columns.target[column, 0] * out.u + columns.target[column, 1] * out.x
            out.data[uint64(at)] = store(total)

    return cuda.jit(direct)
