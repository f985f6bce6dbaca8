"""Columns (u, x): how a tile of them lies in shared memory, and what each output column reads."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tensormask_cupy._periodic import Array, Periodic

PACK = 4  # nodes that one thread reads at once, at most
_LARGEST_STRIDE = 64  # from which on nodes lie in the layout as they do in the grid


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Tables of the columns, and the tiles that they are cut into.

    Attributes:
        place: (cells_out * phases * taps,) int32, where a tap of turn 0 stands in the layout.
        node: as ``place``, the node that it reads in turn 0.
        weight: as ``place``; 0 where a list is shorter than others.
        cell_missing: (cells_out,) the weight of cells outside the window.
        tiles: (tiles, 8) int32: first and count of output cells, output nodes, input cells,
            input nodes.
        taps: the longest list.
        stride: nodes that belong to one turn in the layout.
        run: from one phase to the next in the layout.
        pitch: from one cell to the next in the layout.
        slots: columns of the largest tile in the layout.
    """

    place: Array
    node: Array
    weight: Array
    cell_missing: Array
    tiles: Array
    taps: int
    stride: int
    run: int
    pitch: int
    slots: int


def make_columns(taps: Periodic, capacity: int) -> Columns:
    """Return the tables of ``taps`` in tiles of at most ``capacity`` columns in the layout."""
    source, weight, _ = taps.dense()
    tiles = _best_tiles(taps, capacity)
    stride = _layout_stride(taps)
    run, pitch = _layout(stride, int(tiles[:, 7].max()))
    turn, phase = np.divmod(source[..., 1], stride)
    place = source[..., 0] * pitch + phase * run + phase // 8 + turn
    return Columns(
        place.reshape(-1).astype(np.int32),
        source[..., 1].reshape(-1).astype(np.int32),
        weight.reshape(-1),
        taps.cell_missing,
        tiles.astype(np.int32),
        weight.shape[-1],
        stride,
        run,
        pitch,
        pitch * int(tiles[:, 5].max()),
    )


def _layout_stride(taps: Periodic) -> int:
    """Return the stride that makes neighbouring outputs read neighbours, unless it wastes room."""
    return taps.stride if taps.stride <= _LARGEST_STRIDE else 1


def _layout(stride: int, nodes: int) -> tuple[int, int]:
    """Return (run, pitch); an odd run and pitch keep columns out of each other's bank."""
    run = -(-nodes // stride) | 1
    return run, (stride * run + stride // 8) | 1


def _best_tiles(taps: Periodic, capacity: int) -> Array:
    """Return the tiles, of those that fit, that read the fewest columns."""
    boxes, best = _Boxes(taps), []
    for cells in _halvings(taps.extent_out[0]):
        tiles = _widest_tiles(boxes, cells, capacity)
        if len(tiles) == 1:
            return tiles
        if len(tiles):
            best.append(tiles)
    return min(best, key=lambda tiles: (int((tiles[:, 5] * tiles[:, 7]).sum()), len(tiles)))


def _widest_tiles(boxes: _Boxes, cells: int, capacity: int) -> Array:
    """Return tiles of so many output cells and as many nodes as fit; none if none do."""
    for nodes in _halvings(boxes.taps.extent_out[1]):
        tiles = boxes.tiles((cells, nodes))
        if _fits(boxes.taps, tiles, capacity):
            return tiles
    return tiles[:0]


def _fits(taps: Periodic, tiles: Array, capacity: int) -> bool:
    cells_out, nodes_out, cells, nodes = tiles[:, 1::2].max(axis=0).tolist()
    slots = cells * _layout(_layout_stride(taps), nodes)[1]
    # The kernel divides column numbers by multiplying, which is exact up to here.
    return bool(slots <= capacity and cells_out * nodes_out**2 < 1 << 32)


def _halvings(extent: int) -> list[int]:
    return [extent] + [-(-extent >> k) for k in range(1, extent.bit_length() + 1)]


class _Boxes:
    """The input columns that tiles of output columns read."""

    def __init__(self, taps: Periodic) -> None:
        self.taps = taps
        bounds = np.full((4, taps.extent_out[0]), np.iinfo(np.int64).max)
        for bound, values in zip(
            bounds, (*taps.place[:, 2:].T, *-taps.place[:, 2:].T), strict=True
        ):
            np.minimum.at(bound, taps.place[:, 0], values)
        self.low, self.high = bounds[:2], -bounds[2:]

    def tiles(self, shape: tuple[int, int]) -> Array:
        """Return the tiles (T, 8) of ``shape`` output cells and nodes."""
        cells, nodes = (
            _spans(extent, step) for extent, step in zip(self.taps.extent_out, shape, strict=True)
        )
        return np.array([self._tile(cell, node) for cell in cells for node in nodes])

    def _tile(self, cells: tuple[int, int], nodes: tuple[int, int]) -> tuple[int, ...]:
        stride, phases = self.taps.stride, self.taps.phases
        (cell_low, node_low), (cell_high, node_high) = (
            table[:, slice(*cells)] for table in (self.low, self.high)
        )
        step = math.lcm(_layout_stride(self.taps), PACK)
        limit = self.taps.extent_in[1]
        start = int(node_low.min()) + nodes[0] // phases * stride
        stop = int(node_high.max()) + (nodes[1] - 1) // phases * stride + 1
        start = min(max(start, 0), limit) // step * step
        stop = min(-(-max(stop, start) // PACK) * PACK, limit)
        first = min(int(cell_low.min()), self.taps.extent_in[0])
        last = int(cell_high.max())
        return (
            *(cells[0], cells[1] - cells[0], nodes[0], nodes[1] - nodes[0]),
            *(first, max(0, last + 1 - first), start, max(0, stop - start)),
        )


def _spans(extent: int, step: int) -> list[tuple[int, int]]:
    return [(start, min(start + step, extent)) for start in range(0, extent, step)]
