"""The four functions of a backend, in numpy."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tensormask_core.plan import Plan
from tensormask_core.taps import Taps, cell_taps, grid_taps, node_taps

Array = NDArray[Any]

# Where the axes of (N, V, U, H, W) stand that one stage of the separable transform blends.
_STAGE_AXES = ((1, 3), (2, 4))


class NumpyBackend:
    """Transforms numpy arrays; the truth that other backends are compared with."""

    name = "numpy"

    def transform(self, x: Array, plan: Plan) -> Array:
        """Blend (V, H), then (U, W): 4 + 4 taps instead of 16."""
        blended = x.astype(_compute_dtype(x))
        for axis, axes in enumerate(_STAGE_AXES):
            pair = np.moveaxis(blended, axes, (0, 1))
            blended = np.moveaxis(_blend(pair, plan, axis), (0, 1), axes)
        if plan.pad_value:
            blended += _dense_padding(plan).astype(blended.dtype)
        return np.ascontiguousarray(blended).astype(x.dtype)

    def transform_adjoint(self, g: Array, plan: Plan) -> Array:
        """Scatter (U, W), then (V, H): the stages of the transform, transposed."""
        spread = g.astype(_compute_dtype(g))
        for axis, axes in reversed(list(enumerate(_STAGE_AXES))):
            pair = np.moveaxis(spread, axes, (0, 1))
            spread = np.moveaxis(_spread(pair, plan, axis), (0, 1), axes)
        return np.ascontiguousarray(spread).astype(g.dtype)

    def windows(self, x: Array, plan: Plan, index: Array) -> Array:
        """Sum the 16 taps of each cell of each window; what they lack of 1 is padding."""
        _check_batch(index, x.shape[0])
        rows, columns = _window_taps(plan, index)
        out = _window_padding(rows, columns, plan.pad_value).astype(_compute_dtype(x))
        if x.size:
            for where, weight in _window_terms(rows, columns, index):
                out += weight.astype(out.dtype) * x[where]
        return out.astype(x.dtype)

    def windows_adjoint(self, g: Array, plan: Plan, index: Array, batch: int) -> Array:
        """Add each cell to the 16 samples that it read."""
        _check_batch(index, batch)
        spread = np.zeros((batch, *plan.shape_in), _compute_dtype(g))
        if spread.size:
            for where, weight in _window_terms(*_window_taps(plan, index), index):
                np.add.at(spread, where, weight.astype(spread.dtype) * g)
        return spread.astype(g.dtype)


def _compute_dtype(x: Array) -> np.dtype[Any]:
    return np.result_type(x.dtype, np.float32)


def _stage(plan: Plan, axis: int) -> tuple[Taps, Taps]:
    """Return the taps of one stage, each of (V_out, H_out, 2) or broadcastable to it."""
    cells, nodes = cell_taps(plan, axis), grid_taps(plan, axis)
    across = Taps(cells.index[:, None], cells.weight[:, None], cells.inside[:, None])
    down = Taps(nodes.index.swapaxes(0, 1), nodes.weight.swapaxes(0, 1), nodes.inside.T)
    return across, down


def _blend(x: Array, plan: Plan, axis: int) -> Array:
    """Return the blend (V_out, H_out, ...) of ``x`` (V, H, ...), with 0 outside."""
    cells, nodes = _stage(plan, axis)
    out = np.zeros((plan.window_out[axis], plan.grid_out[axis], *x.shape[2:]), x.dtype)
    if not x.size:
        return out
    for i, j in product(range(2), range(2)):
        weight = (cells.weight[..., i] * nodes.weight[..., j]).astype(x.dtype)
        tap = x[cells.index[..., i], nodes.index[..., j]]
        out += weight.reshape(*weight.shape, *(1,) * (x.ndim - 2)) * tap
    return out


def _spread(g: Array, plan: Plan, axis: int) -> Array:
    """Return the adjoint (V, H, ...) of :func:`_blend` at ``g`` (V_out, H_out, ...)."""
    cells, nodes = _stage(plan, axis)
    out = np.zeros((plan.window_in[axis], plan.grid_in[axis], *g.shape[2:]), g.dtype)
    if not out.size:
        return out
    for i, j in product(range(2), range(2)):
        weight = (cells.weight[..., i] * nodes.weight[..., j]).astype(g.dtype)
        term = weight.reshape(*weight.shape, *(1,) * (g.ndim - 2)) * g
        np.add.at(out, (cells.index[..., i], nodes.index[..., j]), term)
    return out


def _check_batch(index: Array, batch: int) -> None:
    if ((index[:, 0] < 0) | (index[:, 0] >= batch)).any():
        raise IndexError(f"index expects batch indices in [0, {batch}), got {index[:, 0]}")


def _window_taps(plan: Plan, index: Array) -> tuple[tuple[Taps, Taps], tuple[Taps, Taps]]:
    """Return (V, H) taps that broadcast to (K, V_out, 1, 2) and (U, W) taps to (K, 1, U_out, 2)."""
    nodes = index.astype(np.int64)
    rows = (cell_taps(plan, 0), node_taps(plan, 0, nodes[:, 1]))
    columns = (cell_taps(plan, 1), node_taps(plan, 1, nodes[:, 2]))
    return rows, columns


def _dense_padding(plan: Plan) -> Array:
    """Return what padding contributes to each output: (V_out, U_out, H_out, W_out)."""
    (down, inside_y), (across, inside_x) = (_total(*_stage(plan, axis)) for axis in range(2))
    missing = 1.0 - down[:, None, :, None] * across[None, :, None, :]
    inside = inside_y[:, None, :, None] & inside_x[None, :, None, :]
    return _padding(missing, inside, plan.pad_value)


def _window_padding(rows: tuple[Taps, Taps], columns: tuple[Taps, Taps], pad_value: float) -> Array:
    """Return what padding contributes to each cell of each window: (K, V_out, U_out)."""
    (down, inside_y), (across, inside_x) = _total(*rows), _total(*columns)
    missing = 1.0 - down[:, :, None] * across[:, None, :]
    return _padding(missing, inside_y[:, :, None] & inside_x[:, None, :], pad_value)


def _total(cells: Taps, nodes: Taps) -> tuple[Array, Array]:
    """Return the weight that a stage's taps hold together, and where none is missing."""
    return cells.weight.sum(-1) * nodes.weight.sum(-1), cells.inside & nodes.inside


def _padding(missing: Array, inside: Array, pad_value: float) -> Array:
    """Return ``missing * pad_value``, exactly 0 where inside: infinity stays outside."""
    return np.multiply(missing, pad_value, out=np.zeros_like(missing), where=~inside)


def _window_terms(rows: tuple[Taps, Taps], columns: tuple[Taps, Taps], index: Array) -> Any:
    """Yield the place in the input and the weight, both (K, V_out, U_out), of each of 16 taps."""
    (v, y), (u, x) = rows, columns
    batch = index[:, 0].astype(np.int64)[:, None, None]
    for i, j, k, m in product(range(2), repeat=4):
        where = (
            batch,
            v.index[None, :, None, i],
            u.index[None, None, :, k],
            y.index[:, :, None, j],
            x.index[:, None, :, m],
        )
        down = v.weight[:, i] * y.weight[..., j]  # (K, V_out)
        across = u.weight[:, k] * x.weight[..., m]  # (K, U_out)
        yield where, down[:, :, None] * across[:, None, :]
