"""The four functions of a backend, on two kernels: a dense tensor is all of its windows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensormask_core.plan import Plan
from tensormask_core.taps import cell_taps

from tensormask_numba._kernels import add_windows, read_windows

Array = NDArray[Any]


class NumbaBackend:
    """Transforms numpy arrays in parallel, without a table or an intermediate per tap."""

    name = "numba"

    def transform(self, x: Array, plan: Plan) -> Array:
        """Read the windows of every node."""
        out = np.empty((x.shape[0], *plan.grid_out, *plan.window_out), x.dtype)
        nodes = _all_nodes(x.shape[0], plan)
        out[...] = self.windows(x, plan, nodes).reshape(out.shape)
        return np.ascontiguousarray(out.transpose(0, 3, 4, 1, 2))

    def transform_adjoint(self, g: Array, plan: Plan) -> Array:
        """Add the windows of every node."""
        batch = g.shape[0]
        windows = g.transpose(0, 3, 4, 1, 2).reshape(-1, *plan.window_out)
        return self.windows_adjoint(windows, plan, _all_nodes(batch, plan), batch)

    def windows(self, x: Array, plan: Plan, index: Array) -> Array:
        """Read the windows at ``index`` (K, 3)."""
        _check_batch(index, x.shape[0])
        out = np.empty((len(index), *plan.window_out), _compute_dtype(x))
        source = x.astype(out.dtype, copy=False)
        pad = out.dtype.type(plan.pad_value)
        read_windows(source, index.astype(np.int64), *_tables(plan), plan.node_map, pad, out)
        return out.astype(x.dtype, copy=False)

    def windows_adjoint(self, g: Array, plan: Plan, index: Array, batch: int) -> Array:
        """Add the windows at ``index`` (K, 3)."""
        _check_batch(index, batch)
        out = np.zeros((batch, *plan.shape_in), _compute_dtype(g))
        places = index.astype(np.int64)
        order = np.argsort(places[:, 0], kind="stable")
        starts = np.searchsorted(places[order, 0], np.arange(batch + 1))
        source = g.astype(out.dtype, copy=False)
        add_windows(source, places, order, starts, *_tables(plan), plan.node_map, out)
        return out.astype(g.dtype, copy=False)


def _compute_dtype(x: Array) -> np.dtype[Any]:
    return np.result_type(x.dtype, np.float32)


def _tables(plan: Plan) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    rows, columns = cell_taps(plan, 0), cell_taps(plan, 1)
    return (rows.index, rows.weight), (columns.index, columns.weight)


def _all_nodes(batch: int, plan: Plan) -> Array:
    return np.indices((batch, *plan.grid_out)).reshape(3, -1).T


def _check_batch(index: Array, batch: int) -> None:
    wrong = (index[:, 0] < 0) | (index[:, 0] >= batch)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise IndexError(
            f"index expects batch indices in [0, {batch}), got {int(index[row, 0])} in row {row}"
        )
