"""Tables: what the kernels read besides the arrays, made on the host once per plan.

Rows are pairs (v, y), columns pairs (u, x). A block of threads owns :data:`ROWS` rows and a tile of
columns: it blends the rows that they read into shared memory and then blends columns out of it.
Rows that read the same rows are grouped, so that each is read once for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tensormask_numba._cuda._matrix import Array, Extents, Matrix

ROWS = 4
"""Rows that a block of threads makes at once, so that they share what describes a column."""
SHARED_BYTES = 48 * 1024
"""Static shared memory of a block on every device."""
SLOT_BITS = 12
"""A tap is one word: its slot in shared memory below, the number of its weight above."""
BANKS = 32


class Steps(NamedTuple):
    """Strides, in elements, of the (cell, node) of a matrix.

    Attributes:
        read: of the array that is read.
        write: of the array that is written.
    """

    read: tuple[int, int]
    write: tuple[int, int]


class Rows(NamedTuple):
    """Groups of :data:`ROWS` rows and the rows that they read.

    Attributes:
        start: (G + 1,) int32, where each group's reads begin.
        source: (E,) int64, where a row that is read begins, in elements.
        weight: (E, ROWS), its weight in each row of the group.
        target: (G, ROWS) int64, where the rows that are written begin, or -1.
        missing: (G, ROWS), the weight that they miss.
    """

    start: Any
    source: Any
    weight: Any
    target: Any
    missing: Any


class Columns(NamedTuple):
    """Tiles of columns and what they read; columns are numbered tile by tile.

    Attributes:
        first: (T,) int32, the number of each tile's first column.
        corner: (T, 4) int64: its first cell and node, then those of what it reads.
        size: (T, 4) int32: its cells and nodes, then those of what it reads.
        phase: (T, 3) int32: see :func:`_slot`.
        start: (M + 1,) int32, where each column's taps begin.
        tap: int32, slot and number of the weight.
        weight: the weights that there are.
        missing: (M,), the weight that each column misses.
    """

    first: Any
    corner: Any
    size: Any
    phase: Any
    start: Any
    tap: Any
    weight: Any
    missing: Any


class Taps(NamedTuple):
    """A matrix row by row, for the kernel without tiles.

    Attributes:
        target: (M,) int64, where each pair is written, in elements.
        start: (M + 1,) int32, where each pair's taps begin.
        source: (T,) int64, where what it reads is.
        weight: (T,).
        missing: (M,).
    """

    target: Any
    start: Any
    source: Any
    weight: Any
    missing: Any


def slots_of(dtype: Any) -> int:
    """Return how many columns of :data:`ROWS` rows shared memory holds."""
    return int(SHARED_BYTES // (ROWS * np.dtype(dtype).itemsize))


def make_taps(matrix: Matrix, dtype: Any, steps: Steps) -> Taps:
    """Return a matrix row by row."""
    count = matrix.shape[0] * matrix.shape[1]
    return Taps(
        _pairs(np.arange(count), matrix.shape[1]) @ steps.write,
        _starts(matrix.result, count),
        _pairs(matrix.operand, matrix.shape_in[1]) @ steps.read,
        matrix.weight.astype(dtype),
        matrix.missing.astype(dtype),
    )


def make_rows(matrix: Matrix, dtype: Any, steps: Steps) -> Rows:
    """Return the rows in groups, neighbours along v or along y, whichever share more reads."""
    numbers = np.arange(matrix.shape[0] * matrix.shape[1]).reshape(matrix.shape)
    orders = numbers.ravel(), numbers.T.ravel()
    grouped = (_grouped(matrix, order, dtype, steps) for order in orders)
    return min(grouped, key=lambda rows: len(rows.source))


def _grouped(matrix: Matrix, order: Array, dtype: Any, steps: Steps) -> Rows:
    groups = -(-len(order) // ROWS)
    members = np.full(groups * ROWS, -1)
    members[: len(order)] = order
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    place = position[matrix.result]
    extent = max(1, matrix.shape_in[0] * matrix.shape_in[1])
    reads, entry = np.unique(place // ROWS * extent + matrix.operand, return_inverse=True)
    weight = np.zeros((len(reads), ROWS), dtype)
    np.add.at(weight, (entry, place % ROWS), matrix.weight)
    missing = np.where(members < 0, 0.0, matrix.missing[members] if len(order) else 0.0)
    target = np.where(members < 0, -1, _pairs(members, matrix.shape[1]) @ steps.write)
    return Rows(
        _starts(reads // extent, groups),
        _pairs(reads % extent, matrix.shape_in[1]) @ steps.read,
        weight,
        target.reshape(groups, ROWS),
        missing.reshape(groups, ROWS).astype(dtype),
    )


def make_columns(matrix: Matrix, dtype: Any) -> Columns | None:
    """Return the columns in the fewest tiles that fit into shared memory, or None if none does."""
    for parts in _divisions(matrix.shape):
        tiles = _tiles(matrix, parts)
        phase = _phases(tiles.size[:, 3], matrix.stride)
        if (tiles.size[:, 2] * phase[:, 2]).max(initial=0) <= slots_of(dtype):
            return _filled(matrix, dtype, tiles, phase)
    return None


def _divisions(shape: Extents) -> Iterator[Extents]:
    """Yield into how many parts to cut cells and nodes, coarse first."""
    cells, nodes = (max(1, extent) for extent in shape)
    steps = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128]
    yield from ((step, 1) for step in steps if step < cells)
    yield cells, 1
    yield from ((cells, step) for step in steps[1:] if step < nodes)
    yield cells, nodes


class _Tiles(NamedTuple):
    """Corners and sizes as in :class:`Columns`, and the tile and the number of each column."""

    corner: Array
    size: Array
    owner: Array
    number: Array


def _tiles(matrix: Matrix, parts: Extents) -> _Tiles:
    size = [max(1, -(-n // part)) for n, part in zip(matrix.shape, parts, strict=True)]
    counts = [-(-n // extent) for n, extent in zip(matrix.shape, size, strict=True)]
    first = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), -1).reshape(-1, 2) * size
    extent = np.minimum(size, np.array(matrix.shape) - first)
    pair = _pairs(np.arange(matrix.shape[0] * matrix.shape[1]), matrix.shape[1])
    owner = pair[:, 0] // size[0] * counts[1] + pair[:, 1] // size[1]
    within = pair - first[owner]
    begin = np.cumsum(extent.prod(1)) - extent.prod(1)
    number = begin[owner] + within[:, 0] * extent[owner, 1] + within[:, 1]
    low, reach = _boxes(matrix, owner, len(first))
    return _Tiles(np.hstack([first, low]), np.hstack([extent, reach]), owner, number)


def _boxes(matrix: Matrix, owner: Array, tiles: int) -> tuple[Array, Array]:
    """Return first and extent, (T, 2) each, of the cells and nodes that each tile reads."""
    pair = _pairs(matrix.operand, matrix.shape_in[1])
    reader = owner[matrix.result]
    low = np.full((tiles, 2), np.iinfo(np.int64).max)
    high = np.full((tiles, 2), -1)
    np.minimum.at(low, reader, pair)
    np.maximum.at(high, reader, pair)
    read = high >= 0
    return np.where(read, low, 0), np.where(read, high - low + 1, 0)


def _phases(nodes: Array, stride: Extents) -> Array:
    """Return (T, 3): shift, nodes per phase and slots per cell, for boxes so many nodes wide.

    Neighbouring columns read nodes a stride apart. Nodes are stored by their remainder modulo the
    power of two in the stride, so that neighbours are an odd number of slots apart and no two of
    them share a bank.
    """
    even = 1 if stride[1] > 1 else min(stride[0] & -stride[0], BANKS)
    part = -(-nodes // even) | 1
    return np.stack([np.full(len(nodes), even.bit_length() - 1), part, part * even], -1)


def _slot(cell: Array, node: Array, phase: Array) -> Array:
    """Return the slot of a cell and a node, both relative to what the tile reads."""
    shift, nodes, pitch = phase.T
    slot: Array = cell * pitch + (node & ((1 << shift) - 1)) * nodes + (node >> shift)
    return slot


def _filled(matrix: Matrix, dtype: Any, tiles: _Tiles, phase: Array) -> Columns:
    number, reader = tiles.number[matrix.result], tiles.owner[matrix.result]
    order = np.argsort(number, kind="stable")
    pair = _pairs(matrix.operand, matrix.shape_in[1]) - tiles.corner[reader, 2:]
    weights, which = np.unique(matrix.weight.astype(dtype), return_inverse=True)
    tap = which << SLOT_BITS | _slot(pair[:, 0], pair[:, 1], phase[reader])
    missing = np.empty(len(tiles.number), dtype)
    missing[tiles.number] = matrix.missing
    cells = tiles.size[:, :2].prod(1)
    return Columns(
        (np.cumsum(cells) - cells).astype(np.int32),
        tiles.corner,
        tiles.size.astype(np.int32),
        phase.astype(np.int32),
        _starts(number[order], len(tiles.number)),
        tap[order].astype(np.int32),
        weights,
        missing,
    )


def _pairs(number: Array, nodes: int) -> Array:
    return np.stack(np.divmod(number, max(1, nodes)), -1)


def _starts(sorted_numbers: Array, count: int) -> Array:
    return np.searchsorted(sorted_numbers, np.arange(count + 1)).astype(np.int32)
