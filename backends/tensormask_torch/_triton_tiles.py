"""Tiles: columns in groups that fit a block's shared memory, with what they read.

A tile's columns follow one another in the output, so they are written in one go. What they read is
listed once, in the order of the input, and spread over the banks of shared memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_BANKS = 32
_LARGEST_SOURCE = 1024  # samples of a tile in shared memory
_LARGEST_GATHER = 4096  # entries of a tile in registers, of all threads together
_LARGEST_WIDTH = 1024  # columns
_TILE_COST = 4000  # instructions of a tile for each row, however few columns it has


class Tiles(NamedTuple):
    """T tiles of Q columns that read at most P; all extents but T are powers of 2.

    Attributes:
        source: (T, P) pairs that are read, -1 where there is none.
        slot: (T, Q, E) which of those P each column reads.
        weight: (T, Q, E).
        target: (T, Q) pairs that are written, -1 where there is none.
    """

    source: Array
    slot: Array
    weight: Array
    target: Array


def cut_into_tiles(source: Array, weight: Array, rows: int, extent: int) -> Tiles:
    """Return the tiles of columns that read ``source`` (M, E) and cost least.

    ``rows`` is how many rows are blended for each row that is written, ``extent`` that of x.
    """
    spread = _lanes_share_banks(source)
    choices = [
        (order, width) for order in _orders(len(source), extent) for width in _widths(*source.shape)
    ]
    costs = [_cost(source[order], width, rows, spread) for order, width in choices]
    order, width = choices[int(np.argmin(costs))]
    tiles = [
        _tile(source[part], weight[part], spread)
        for part in (order[start : start + width] for start in range(0, len(order), width))
    ]
    return _stack(tiles, order, width)


def _orders(columns: int, extent: int) -> list[Array]:
    """Return orders of the columns (u, x): as they are, or first through half or a quarter of x."""
    cell, node = np.divmod(np.arange(columns), max(extent, 1))
    shares = {-(-extent // parts) for parts in (1, 2, 4)}
    return [np.lexsort((node, cell, node // max(share, 1))) for share in sorted(shares)[::-1]]


def _lanes_share_banks(source: Array) -> bool:
    """Return whether neighbouring columns read samples that an even number of banks separates."""
    steps = np.abs(np.diff(source[:, 0])) if len(source) > 1 else np.zeros(1)
    return int(np.median(steps)) % 2 == 0


def _widths(columns: int, entries: int) -> list[int]:
    """Return widths to choose from, each of which cuts the columns into equal parts."""
    most = max(_BANKS, min(_LARGEST_WIDTH, _LARGEST_GATHER // power_of_2(entries)))
    counts = {-(-columns // width) for width in range(most // 16, most + 1, most // 16)}
    return sorted({-(-columns // count) for count in counts})


def _cost(source: Array, width: int, rows: int, spread: bool) -> float:
    """Return about how many instructions a column costs in tiles of ``width``."""
    tile = np.arange(len(source))[:, None] // width
    read = np.unique((tile * (source.max() + 1) + source)[source >= 0])
    most = np.bincount(read // (source.max() + 1), minlength=1).max()
    samples = power_of_2(int(_slots(most, spread)) + 1)
    gathered = power_of_2(width) * (10 + 2 * power_of_2(source.shape[1]))
    cost = (samples * (2 + 5 * rows) + gathered + _TILE_COST) / width
    return cost if samples <= _LARGEST_SOURCE else 100 * cost


def _slots(number: Array, spread: bool) -> Array:
    """Return where samples stand: one place stays empty after each row of banks."""
    return number + number // _BANKS if spread else number


def _tile(source: Array, weight: Array, spread: bool) -> tuple[Array, Array, Array]:
    """Return what a tile reads, (P',) with -1 in between, and (slot, weight) of its entries."""
    kept = source >= 0
    pairs, number = np.unique(source[kept], return_inverse=True)
    slots = _slots(np.arange(len(pairs)), spread)
    reads = np.full(slots[-1] + 2 if len(slots) else 1, -1)
    reads[slots] = pairs
    slot = np.full(source.shape, len(reads) - 1)  # the last place is empty and reads as 0
    slot[kept] = slots[number]
    return reads, slot, weight


def _stack(tiles: list[tuple[Array, Array, Array]], order: Array, width: int) -> Tiles:
    entries = power_of_2(tiles[0][1].shape[1])
    shape = (len(tiles), power_of_2(width))
    source = np.full((len(tiles), power_of_2(max(len(reads) for reads, _, _ in tiles))), -1)
    slot, weights = np.zeros((*shape, entries), np.int64), np.zeros((*shape, entries))
    for i, (reads, places, weight) in enumerate(tiles):
        source[i, : len(reads)] = reads
        slot[i] = len(reads) - 1
        slot[i, : len(places), : places.shape[1]] = places
        weights[i, : len(places), : places.shape[1]] = weight
    target = np.full(len(tiles) * width, -1)
    target[: len(order)] = order
    targets = np.full(shape, -1)
    targets[:, :width] = target.reshape(-1, width)
    return Tiles(source, slot, weights, targets)


def power_of_2(extent: int) -> int:
    """Return the smallest power of 2 from ``extent`` on."""
    return 1 << (int(extent) - 1).bit_length() if extent > 1 else 1
