"""The part of an image axis each box needs, groups of boxes, and reading rows per box."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Span:
    """Equally long stretches of one image axis, one per box: `start` (K,) and their `length`."""

    start: Ints
    length: int

    @property
    def index(self) -> Ints:
        """The image indices of each stretch, (K, length)."""
        return self.start[:, None] + np.arange(self.length)


def touched_pixels(low: Floats, high: Floats, extent: int) -> tuple[Ints, Ints]:
    """Return the first pixel inside [0, extent) that each [low, high] touches, and the end."""
    first = np.clip(np.floor(low), 0, extent)
    end = np.clip(np.ceil(high), 0, extent)
    return first.astype(np.int64), end.astype(np.int64)


def covering_span(low: Floats, high: Floats, extent: int) -> Span:
    """Return stretches inside [0, extent) that hold the pixels touched by [low, high]."""
    first, end = touched_pixels(low, high, extent)
    length = int(np.max(end - first, initial=1))
    return Span(np.clip(first, 0, extent - length), length)


def groups_by_size(sides: Floats, budget: int) -> Iterator[Ints]:
    """Yield indices into `sides` (K, 2), largest area first, in groups that fit `budget` together.

    All members of a group are worked on at its greatest height and width, so these count.
    """
    order = np.argsort(-sides.prod(axis=1), kind="stable")
    greatest = np.maximum.accumulate(sides[order][::-1], axis=0)[::-1].prod(axis=1)
    at = 0
    while at < len(order):
        count = max(1, int(budget // max(float(greatest[at]), 1.0)))
        yield order[at : at + count]
        at += count


def take_rows(xp: Any, values: Any, index: Ints) -> Any:
    """Return `values[k, index[k]]`: rows (K, M, R) of `values` (K, L, R)."""
    count, length, rest = values.shape
    flat = index + length * np.arange(count)[:, None]  # whole rows of one table: the fastest take
    wanted = xp.asarray(flat.reshape(-1), device=array_api_compat.device(values))
    table = xp.reshape(values, (count * length, rest))
    return xp.reshape(xp.take(table, wanted, axis=0), (*index.shape, rest))
