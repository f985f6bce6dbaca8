"""Where the windows of an image are: their centres and boxes in pixels, level by level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tensormask_core.errors import LayoutError
from tensormask_core.grid_level import (
    FloatArray,
    GridLevel,
    IntArray,
    WindowKinds,
    check_extents,
    check_positive,
)

__all__ = ["GridLevel", "WindowGrid", "WindowIndex", "WindowKinds"]


class WindowIndex(NamedTuple):
    """The place of windows in their grid, each an int64 array of one shape."""

    level: IntArray
    y: IntArray
    x: IntArray
    size: IntArray


@dataclass(frozen=True)
class WindowGrid:
    """The windows of an image, flattened in the order (level, y, x, window size).

    Nothing is stored per window: centres and boxes are computed for the flat indices asked for.

    Args:
        levels: The levels, finest first by custom. `pyramid` builds the usual ones.

    Raises:
        LayoutError: If there is no level.

    Example:
        >>> grid = WindowGrid.pyramid(image_size=(64, 96), sigma=4, windows=(11, 15), levels=2)
        >>> [(level.height, level.width) for level in grid.levels], len(grid)
        ([(16, 24), (8, 12)], 960)
        >>> grid.boxes([1]).tolist()
        [[-30.0, -30.0, 30.0, 30.0]]
    """

    levels: tuple[GridLevel, ...]

    def __post_init__(self) -> None:
        if len(self.levels) == 0:
            raise LayoutError("WindowGrid expects at least one GridLevel, got levels=()")

    @classmethod
    def pyramid(
        cls,
        image_size: Sequence[int],
        sigma: float = 4,
        windows: Sequence[int | tuple[int, int]] = (11, 15),
        levels: int = 6,
    ) -> WindowGrid:
        """Windows of a feature pyramid or, equally, of a tensor bipyramid.

        Level k has nodes every `sigma * 2**k` px and windows of `V * sigma * 2**k` px. The window
        at node (y, x) is centred on the pixel point `sigma * 2**k * (y, x)`, without the offset
        of half a stride that box anchors often have. Level 0 has `ceil(H / sigma)` rows, each
        further level `ceil(previous / 2)`. Windows may reach beyond the image.

        Args:
            image_size: (H, W) of the image in px, padding included.
            sigma: Stride of level 0 in px.
            windows: V for square windows or (V, U), in cells of `sigma` px on level 0.
            levels: Number of levels.

        Returns:
            The grid. With the default windows it has the windows of the published TensorMask.

        Raises:
            LayoutError: If an extent, a window or the number of levels is no usable whole number.
            UnitError: If `sigma` is not positive and finite.

        Source: TensorMask, sections 3.6 and 4; two sizes per level as in its section 5.

        Example:
            >>> len(WindowGrid.pyramid(image_size=(800, 1344)))
            179200
        """
        check_extents("image_size", image_size)
        check_positive("sigma", sigma)
        if levels < 1:
            raise LayoutError(f"WindowGrid.pyramid expects at least one level, got {levels}")
        cells = [_window_cells(window) for window in windows]
        height, width = (math.ceil(side / sigma) for side in image_size)
        built = []
        for k in range(levels):
            stride = float(sigma * 2**k)
            built.append(GridLevel(height, width, stride, _sides_px(cells, stride)))
            height, width = math.ceil(height / 2), math.ceil(width / 2)
        return cls(tuple(built))

    def __len__(self) -> int:
        return int(self._starts[-1])

    @cached_property
    def _starts(self) -> IntArray:
        """First flat index of each level, and the number of windows: (levels + 1,)."""
        return np.cumsum([0, *(level.count for level in self.levels)], dtype=np.int64)

    @cached_property
    def _first_kind(self) -> IntArray:
        """Row of `kinds` at which each level starts, (levels,)."""
        return np.cumsum(self._sizes, dtype=np.int64) - self._sizes

    @cached_property
    def _sizes(self) -> IntArray:
        """Number of window sizes of each level, (levels,)."""
        return np.array([len(level.windows_px) for level in self.levels], dtype=np.int64)

    @cached_property
    def kinds(self) -> WindowKinds:
        """The pairs of level and window size, in the order (level, size)."""
        return WindowKinds.of(self.levels)

    def unravel(self, index: ArrayLike) -> WindowIndex:
        """Turn flat indices into level, y, x and window size.

        Args:
            index: Flat indices of any shape, each in [0, len(grid)).

        Returns:
            Four int64 arrays of the shape of `index`.

        Raises:
            IndexError: If an index lies outside the grid; the message names it.
            TypeError: If the indices are not whole numbers.

        Example:
            >>> grid = WindowGrid.pyramid(image_size=(64, 96), levels=2)
            >>> [int(part) for part in grid.unravel(769)]
            [1, 0, 0, 1]
        """
        flat = self._checked(index)
        level = np.searchsorted(self._starts, flat, side="right") - 1
        kind = self._first_kind[level]
        node, size = np.divmod(flat - self._starts[level], self._sizes[level])
        y, x = np.divmod(node, self.kinds.extent[kind, 1])
        return WindowIndex(level, y, x, size)

    def ravel(self, level: ArrayLike, y: ArrayLike, x: ArrayLike, size: ArrayLike) -> IntArray:
        """Turn level, y, x and window size into flat indices; the inverse of `unravel`.

        Args:
            level: Levels, whole numbers of any shape that broadcasts with the others.
            y: Rows.
            x: Columns.
            size: Which of the level's window sizes.

        Returns:
            Flat indices, int64.

        Raises:
            IndexError: If one of them lies outside the grid; the message names it.
            TypeError: If they are not whole numbers.

        Example:
            >>> int(WindowGrid.pyramid(image_size=(64, 96), levels=2).ravel(1, 0, 0, 1))
            769
        """
        parts = WindowIndex(*np.broadcast_arrays(*map(_whole, (level, y, x, size))))
        _check_range("level", parts.level, np.int64(len(self.levels)))
        sizes = self._sizes[parts.level]
        extent = self.kinds.extent[self._first_kind[parts.level]]
        for name, bound in (("y", extent[..., 0]), ("x", extent[..., 1])):
            _check_range(name, getattr(parts, name), bound)
        _check_range("size", parts.size, sizes)
        node = parts.y * extent[..., 1] + parts.x
        flat: IntArray = self._starts[parts.level] + node * sizes + parts.size
        return flat

    def centres(self, index: ArrayLike | None = None) -> FloatArray:
        """Pixel points on which windows are centred.

        Args:
            index: (M,) flat indices; all windows if None.

        Returns:
            (M, 2) float64 px, (y, x).

        Raises:
            IndexError: If an index lies outside the grid.

        Example:
            >>> WindowGrid.pyramid(image_size=(64, 96), levels=2).centres([2, 770]).tolist()
            [[0.0, 4.0], [0.0, 8.0]]
        """
        at = self.unravel(self._all_if_none(index))
        kind = self._first_kind[at.level]
        node = np.stack([at.y, at.x], axis=-1)  # (M, 2)
        centres: FloatArray = self.kinds.offset_px[kind] + self.kinds.sigma_hw[kind, None] * node
        return centres

    def boxes(self, index: ArrayLike | None = None) -> FloatArray:
        """Boxes of windows, not clipped to the image.

        Args:
            index: (M,) flat indices; all windows if None.

        Returns:
            (M, 4) float64 XYXY px.

        Raises:
            IndexError: If an index lies outside the grid.

        Example:
            >>> WindowGrid.pyramid(image_size=(64, 96), levels=2).boxes([768]).tolist()
            [[-44.0, -44.0, 44.0, 44.0]]
        """
        flat = self._all_if_none(index)
        at = self.unravel(flat)
        half = self.kinds.window_px[self._first_kind[at.level] + at.size] / 2  # (M, 2) yx
        centre = self.centres(flat)
        return np.concatenate([centre - half, centre + half], axis=-1)[..., [1, 0, 3, 2]]

    def units(self, index: ArrayLike | None = None) -> FloatArray:
        """Stride `sigma_hw` of the level of each window, (M,) float64 px.

        Args:
            index: (M,) flat indices; all windows if None.

        Returns:
            (M,) float64 px.

        Raises:
            IndexError: If an index lies outside the grid.

        Example:
            >>> WindowGrid.pyramid(image_size=(64, 96), levels=2).units([0, 768]).tolist()
            [4.0, 8.0]
        """
        level = self.unravel(self._all_if_none(index)).level
        return self.kinds.sigma_hw[self._first_kind[level]]

    def _all_if_none(self, index: ArrayLike | None) -> ArrayLike:
        """Every flat index where none was chosen."""
        return np.arange(len(self), dtype=np.int64) if index is None else index

    def _checked(self, index: ArrayLike) -> IntArray:
        """Flat indices as int64, all inside the grid."""
        flat = _whole(index)
        _check_range("window", flat, np.int64(len(self)))
        return flat


def _window_cells(window: int | tuple[int, int]) -> tuple[int, int]:
    """(V, U) of a window given as V or (V, U)."""
    v, u = window if isinstance(window, Sequence) else (window, window)
    if min(v, u) < 1 or v != int(v) or u != int(u):
        raise LayoutError(f"a window needs whole extents V, U of 1 or more, got {window!r}")
    return int(v), int(u)


def _sides_px(cells: list[tuple[int, int]], cell_px: float) -> tuple[tuple[float, float], ...]:
    """Height and width in px of windows of the given cells."""
    return tuple((v * cell_px, u * cell_px) for v, u in cells)


def _whole(index: ArrayLike) -> IntArray:
    """Integers of any kind as int64; an empty list counts as integers."""
    array = np.asarray(index)
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"window indices must be whole numbers, got {array.dtype}")
    return array.astype(np.int64)


def _check_range(name: str, values: IntArray, bound: IntArray | np.int64) -> None:
    """Refuse values outside [0, bound)."""
    outside = (values < 0) | (values >= bound)
    if outside.any():
        bounds = np.broadcast_to(bound, values.shape)
        raise IndexError(
            f"{name} {values[outside][0]} lies outside the grid, which has {bounds[outside][0]}"
        )
