"""Taps of chosen windows, computed from an index whose values may be unknown (traced)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, device

from tensormask_core.layout import dtype_name
from tensormask_core.plan import Plan
from tensormask_core.taps import cell_taps


class WindowTaps(NamedTuple):
    """Four samples that each output row (or column) of each window reads: 2 cells by 2 nodes.

    Attributes:
        cell: (1, V_out, 4) integers.
        node: (K, V_out, 4) integers, clamped into range.
        weight: (K, V_out, 4), 0 where out of range.
        inside: (K, V_out) bool, no weight is missing.
    """

    cell: Any
    node: Any
    weight: Any
    inside: Any


def check_batch(index: Any, batch: int) -> None:
    """Raise IndexError where a batch index is out of range, if its values can be seen."""
    xp = array_namespace(index)
    column = index[:, 0]
    try:
        outside = bool(xp.any((column < 0) | (column >= batch)))
    except TypeError:  # how a tracer refuses to become a bool
        return
    if outside:
        raise IndexError(f"index expects batch indices in [0, {batch}), got {index!r}")


def window_taps(plan: Plan, axis: int, index: Any, dtype: Any) -> WindowTaps:
    """Return the taps along V and H (``axis`` 0) or U and W (1), weights in ``dtype``."""
    xp = array_namespace(index)
    cells = cell_taps(plan, axis)
    low, fraction = _node(plan, axis, index, dtype)
    extent = plan.grid_in[axis]
    node = xp.stack([low, low + 1, low, low + 1], axis=-1)
    weight = xp.stack([1.0 - fraction, fraction, 1.0 - fraction, fraction], axis=-1)
    in_range = (node >= 0) & (node < extent)
    inside = xp.all(in_range | (weight == 0), axis=-1)
    cell_weight = _weights(np.repeat(cells.weight, 2, axis=-1), index, dtype)
    return WindowTaps(
        cell=xp.asarray(np.repeat(cells.index, 2, axis=-1), device=device(index))[None, :, :],
        node=xp.clip(node, 0, max(extent - 1, 0)),
        weight=xp.where(in_range, weight, xp.zeros_like(weight)) * cell_weight[None, :, :],
        inside=xp.asarray(cells.inside, device=device(index))[None, :] & inside,
    )


def row_matrix(plan: Plan, axis: int, index: Any, dtype: Any) -> Any:
    """Return the windows' stage as matrices (K, V_out, V * H), or (K, U_out, U * W)."""
    xp = array_namespace(index)
    cells = cell_taps(plan, axis)
    extents = plan.window_in[axis], plan.grid_in[axis]
    one_hot = cells.index[:, :, None] == np.arange(extents[0])  # (V_out, 2, V)
    cell = _weights((cells.weight[:, :, None] * one_hot).sum(1), index, dtype)  # (V_out, V)
    low, fraction = _node(plan, axis, index, dtype)
    nodes = xp.asarray(np.arange(extents[1]), device=device(index))[None, None, :]
    low, fraction = low[:, :, None], fraction[:, :, None]
    node = xp.astype(nodes == low, dtype) * (1.0 - fraction)
    node = node + xp.astype(nodes == low + 1, dtype) * fraction  # (K, V_out, H)
    pair = cell[None, :, :, None] * node[:, :, None, :]
    return xp.reshape(pair, (*node.shape[:2], extents[0] * extents[1]))


def _node(plan: Plan, axis: int, index: Any, dtype: Any) -> tuple[Any, Any]:
    """Return the lower node (K, V_out) of each output row, and the fraction beyond it."""
    xp = array_namespace(index)
    p, q, d = plan.node_map
    extent = plan.window_out[axis]
    offsets = xp.asarray(q * (2 * np.arange(extent) - (extent - 1)), device=device(index))
    nodes = xp.astype(index[:, 1 + axis], offsets.dtype)  # the library's default integers
    numerator = p * nodes[:, None] + offsets[None, :]
    low = numerator // d
    return low, xp.astype(numerator - low * d, dtype) / d


def _weights(table: Any, like: Any, dtype: Any) -> Any:
    xp = array_namespace(like)
    name = dtype_name(xp.empty(0, dtype=dtype))
    return xp.asarray(table.astype(name), device=device(like))
