"""Masks of a bipyramid's windows, from one tile of the finest grid after the other.

A cell of a mask lies on one node of the finest grid, or half-way between it and the next (equation
5 with sigma_vu of the masks = sigma_hw of the tensor). So the nodes of a tile, and the next ones,
hold all that its cells are blended from: along H and W, then along V and U.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tensormask_core.plan import ALIGNED_TO_NATURAL, make_plan
from tensormask_core.taps import cell_taps
from tensormask_zoo.tensormask.mask_head import PAD_LOGIT, MaskHead
from tensormask_zoo.tensormask.regions import Region, Span, tiles

CELLS = 1 << 18  # that are blended at a time, in some MB

Taps = tuple[Tensor, Tensor]


class _Side(NamedTuple):
    """The cells (S, R) of S windows along one side of a tile, with their P taps along V or U."""

    cell: Tensor
    node: Tensor  # in the tile
    tap: Tensor  # (S, R, P), a cell of the tensor
    weight: Tensor  # (S, R, P), zero for cells outside of the tile


class TileMasks:
    """Mask logits of windows of one level and size, to which tiles are added.

    Args:
        head: a bipyramid.
        k: the level.
        size: which window size.
        index: (K, 3) image, y and x of the windows.
        like: of the dtype and on the device of the masks.

    Attributes:
        k: the level.
        image: (K,) of each window, on the host.
        masks: (K, V', U') logits, "no mask" where no tile was added yet.
    """

    def __init__(self, head: MaskHead, k: int, size: int, index: Tensor, like: Tensor) -> None:
        self._head, self.k, self._size = head, k, size
        self._window = head.cells_of(k, size)
        self.masks = like.new_full((len(index), *self._window), PAD_LOGIT)
        stride = self._window[0] // head.windows[size][0]  # nodes
        half = index.new_tensor([side // 2 for side in self._window])
        # The node on which a window's first cell lies, or after which it does; on the host, where
        # tiles are chosen.
        self._first = (index[:, 1:] * stride - half).cpu()
        self.image = index[:, 0].cpu()
        self._taps = [self._cell_taps(axis) for axis in (0, 1)]

    def rows(self, image: int, tile: Region) -> Tensor:
        """Return the windows (S,) of an image that have cells in ``tile``."""
        mine = self.image == image
        for first, side, (start, stop) in zip(self._first.T, self._window, tile, strict=True):
            mine &= (first < stop) & (first + side > start)
        return mine.nonzero()[:, 0]

    def add(self, rows: Tensor, features: Tensor, part: Region, tile: Region) -> None:
        """Fill in the cells of the windows ``rows`` that lie in ``tile``.

        Args:
            rows: of :meth:`rows`.
            features: (1, C, h, w) of the nodes ``part``.
            part: :func:`nodes_of` the tile.
            tile: of :func:`tiles_of`.
        """
        values = self._predict(features, part, tile)
        v_most, u_most = map(min, tile.shape, self._window)
        most = max(1, CELLS // (v_most * u_most))
        for some in torch.split(rows, most):
            v, u = (self._side(some, axis, tile[axis]) for axis in (0, 1))
            found = _blend(values, v, u)
            where = (some.to(found.device)[:, None, None], v.cell[:, :, None], u.cell[:, None])
            self.masks.index_put_(where, found.to(self.masks.dtype), accumulate=True)

    def _predict(self, features: Tensor, part: Region, tile: Region) -> Tensor:
        """Return by how much cells (V, U, h, w) exceed the padding, on a tile's nodes or between.

        The last layer is linear. So nodes are blended first, which are fewer values than cells;
        and a product of matrices, unlike a convolution, makes no copies of its operands.
        """
        cells: Any = self._head.cells[self._size]
        nodes = self._halfway(_pad(features, part, tile))[0].permute(1, 2, 0).flatten(0, 1)
        bias = (cells.bias - PAD_LOGIT).to(nodes)
        values = torch.addmm(bias[:, None], cells.weight.flatten(1).to(nodes), nodes.T)
        on_grid = self._halfway(_pad(torch.ones_like(features[:, :1]), part, tile)).flatten()
        values.addr_(bias.to(values), on_grid.to(values) - 1)  # off the grid nothing exceeds it
        return values.view(*self._head.windows[self._size], *tile.shape)

    def _halfway(self, x: Tensor) -> Tensor:
        """Return the means of neighbours along sides of an even number of cells."""
        v, u = self._window
        x = x[..., 1:, :].lerp(x[..., :-1, :], 0.5) if v % 2 == 0 else x[..., :-1, :]
        return x[..., 1:].lerp(x[..., :-1], 0.5) if u % 2 == 0 else x[..., :-1]

    def _side(self, rows: Tensor, axis: int, span: Span) -> _Side:
        """Say where the cells of ``rows`` in a tile's ``span`` are along one axis."""
        first, side = self._first[rows, axis].to(self.masks.device)[:, None], self._window[axis]
        nodes = span[1] - span[0]
        count = min(side, nodes)
        start = (span[0] - first).clamp(0, side - count)
        cell = start + torch.arange(count, device=first.device)  # (S, R)
        node = first + cell - span[0]
        in_tile = (node >= 0) & (node < nodes)
        tap, weight = self._taps[axis]
        return _Side(cell, node.clamp(0, nodes - 1), tap[cell], weight[cell] * in_tile[..., None])

    def _cell_taps(self, axis: int) -> Taps:
        """Return which cells of the tensor a cell is blended from (V', P), and how."""
        predicted, natural = self._head.design.units(self.k)
        plan = make_plan(
            (*self._head.windows[self._size], 1, 1), predicted, natural, ALIGNED_TO_NATURAL,
            vu_border=self._head.design.vu_border,
        )  # fmt: skip
        taps = cell_taps(plan, axis)
        used = taps.weight.any(axis=0)  # the second of two may never be
        tap, weight = (torch.from_numpy(t[:, used]) for t in (taps.index, taps.weight))
        return tap.to(self.masks.device), weight.to(self.masks)


def tiles_of(extent: Sequence[int], longest: int) -> Iterator[Region]:
    """Yield tiles of all nodes of a grid (H, W) and those before the first.

    Cells there are half-way between the padding and the first nodes.
    """
    return tiles(Region((-1, extent[0]), (-1, extent[1])), longest)


def nodes_of(tile: Region, extent: Sequence[int]) -> Region:
    """Return the nodes of a grid (H, W) that the cells in a tile are blended from."""
    sides = zip(tile, extent, strict=True)
    return Region(*((max(0, start), min(n, stop + 1)) for (start, stop), n in sides))


def _pad(x: Tensor, part: Region, tile: Region) -> Tensor:
    """Return the nodes of a tile and the next ones, zero outside of the grid."""
    (top, bottom), (left, right) = (
        (mine[0] - all_[0], all_[1] + 1 - mine[1]) for mine, all_ in zip(part, tile, strict=True)
    )
    return F.pad(x, (left, right, top, bottom))


def _blend(values: Tensor, v: _Side, u: _Side) -> Tensor:
    """Return ``values`` (V, U, h, w) blended along V and U (S, R, R')."""
    _, across, height, width = values.shape
    flat, total = values.flatten(), values.new_zeros(())
    for i in range(v.tap.shape[-1]):
        row = v.tap[..., i] * (across * height * width) + v.node * width  # (S, R)
        for j in range(u.tap.shape[-1]):
            column = u.tap[..., j] * (height * width) + u.node  # (S, R')
            weight = v.weight[:, :, None, i] * u.weight[:, None, :, j]
            total = total + flat[row[:, :, None] + column[:, None]] * weight
    return total
