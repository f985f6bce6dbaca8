"""A plan laid out for the kernels: which kernel does it, and its tables as offsets in memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tensormask_core.plan import Plan
from tensormask_numba import _adjoint, _transform
from tensormask_numba._blend import LINE
from tensormask_numba._readers import readers_of
from tensormask_numba._tables import (
    Blend,
    Rows,
    Runs,
    pairs_of,
    ranges_of,
    rows_of,
    runs_of,
    shifts_of,
    whole_stride,
)
from tensormask_numba._vectors import MANY

Array = NDArray[Any]

_PLANE_BYTES = 1 << 20  # of one of the two planes of a task of the transform, of the order of an L2
# Of all planes of a task of the adjoint, and the most cells u that it owns.
_PLANES_BYTES, MOST_CELLS = 1 << 22, 8
_NODES_BYTES = 1 << 12  # of the rows of nodes of one run and side: all of them stay in an L1
_TILE_BYTES = 1 << 15
# Of the smallest output that is written past the caches, and of its longest rows: long rows are
# written as fast where they are.
_STREAMED_BYTES, _STREAMED_ROW_BYTES = 3 << 22, 1 << 9


class Work(NamedTuple):
    """A kernel and its arguments.

    Attributes:
        kernel: takes x, out, the extents of both, the tables, buffers, and a range of tasks.
        tasks: how many tasks an image has.
        tables: the arguments that do not change.
        buffers: makes the intermediates of one thread, for an output of so many bytes.
    """

    kernel: Callable[..., None]
    tasks: int
    tables: tuple[Any, ...]
    buffers: Callable[[int], Any]


@lru_cache(maxsize=64)
def transform_work(plan: Plan, dtype: np.dtype[Any], least_tasks: int) -> Work:
    """Return how to transform in ``dtype``, in at least so many tasks if there are enough rows."""
    rows, nodes = rows_of(plan, dtype), plan.grid_out[0]
    runs, group = len(rows.run) - 1, _longest_run(rows)
    most = max(1, _PLANE_BYTES // (dtype.itemsize * group * plan.grid_in[1]))
    parts = max(-(-nodes // most), -(-least_tasks // runs))
    chunk = max(1, -(-nodes // parts))  # all of about the same size
    pad = finite(plan.pad_value, dtype)
    kernel, columns, buffers = _transform_columns(plan, rows, dtype, group * chunk)
    tables = (chunk, pad, _input_rows(plan, rows, pad), columns)
    return Work(kernel, runs * -(-nodes // chunk), tables, buffers)


@lru_cache(maxsize=64)
def adjoint_work(plan: Plan, dtype: np.dtype[Any], most_cells: int) -> Work:
    """Return how to apply the adjoint in ``dtype``, with at most so many cells u in a task.

    The more a task owns, the less is read twice; the fewer, the more tasks there are for threads.
    """
    rows = rows_of(plan, dtype)
    extent = 2 * _longest_run(rows) * plan.grid_out[0] * plan.grid_in[1]  # of one cell's planes
    kernel, columns, cells, buffers = _adjoint_columns(plan, dtype, extent, most_cells)
    tasks = -(-plan.window_in[1] // cells)
    return Work(kernel, tasks, (_output_rows(plan, rows), columns), buffers)


def aligned(extent: int, value: Any) -> Array:
    """Return a flat array that begins at a cache line and is full of ``value``."""
    array = np.full(extent + LINE, value)
    skip = -array.ctypes.data // array.itemsize % LINE
    return array[skip : skip + extent]


def _tile(plan: Plan, dtype: np.dtype[Any], output_bytes: int) -> Array:
    """Return where rows are collected, one of a run's cells at least; nothing if none are."""
    width = plan.grid_out[1]
    if output_bytes < _STREAMED_BYTES or width * dtype.itemsize > _STREAMED_ROW_BYTES:
        return np.empty(0, dtype)
    return aligned(max(whole_stride(plan) * width, _TILE_BYTES // dtype.itemsize), dtype.type(0))


def finite(pad_value: float, dtype: np.dtype[Any]) -> Any:
    """Return what kernels pad with: an infinite value is written where it belongs afterwards."""
    return dtype.type(pad_value if np.isfinite(pad_value) else 0.0)


def _transform_columns(plan: Plan, rows: Rows, dtype: np.dtype[Any], plane: int) -> Any:
    """Return kernel, tables and buffers for the kind of columns; a plane has ``plane`` rows."""
    pad, width = finite(plan.pad_value, dtype), plan.grid_in[1]
    if whole_stride(plan) == 1:
        blend, _ = shifts_of(plan, dtype)
        single = _are_single(rows, plan.grid_out[0])
        step = plan.grid_in[0] * width if single else plane * width
        place = (blend.source if single else blend.source & 1) * step
        offset = place + blend.shift
        span = _spans(blend, width)
        shifted = (blend.start, offset, blend.shift, blend.weight, blend.missing * pad)
        cells = ranges_of(blend.start, blend.source)
        tables: Any = (single, *shifted, span, cells, _inside(span))
        return _transform.transform_shifted, tables, lambda _: np.empty(2 * plane * width, dtype)
    if _has_runs(plan, dtype):
        runs, stride = _strided_runs(plan, dtype), whole_stride(plan)
        total = stride * plan.grid_out[1]
        bounds = _bounds(runs, total, width)
        read = (runs.u, runs.cell, runs.node, runs.share, _weights(runs, plan), bounds)
        # Blocks of nodes may begin and end outside, by as much as any cell does.
        margin = (int(np.abs(runs.node).max()) + total + 2 * LINE) // LINE * LINE
        extent = 2 * (plane * _transform.row_pitch(width) + margin) + _transform.row_pitch(width)
        return (
            _transform.transform_runs,
            (stride, margin, *read, _inside_runs(runs, bounds)),
            lambda size: (aligned(extent, pad), _tile(plan, dtype, size)),
        )
    blend, _ = pairs_of(plan, dtype)
    cell, node = np.divmod(blend.source, width)
    offset = (cell & 1) * (plane * width) + node
    cells = ranges_of(blend.start[:: plan.grid_out[1]], cell)
    tables = (blend.start, offset, blend.weight, blend.missing * pad, cells)
    return _transform.transform_pairs, tables, lambda _: np.empty(2 * plane * width, dtype)


def _adjoint_columns(plan: Plan, dtype: np.dtype[Any], extent: int, most_cells: int) -> Any:
    """Return kernel, tables, cells u per task and buffers; a cell's planes have that extent."""
    width_out, step = plan.grid_out[1], plan.grid_out[0] * plan.grid_out[1]
    if whole_stride(plan) == 1:
        _, spread = shifts_of(plan, dtype)
        offset = spread.source * step + spread.shift
        span = _spans(spread, width_out)
        tables: Any = (spread.start, offset, spread.shift, spread.weight, span)
        return _adjoint.adjoint_shifted, tables, 1, lambda _: np.empty(extent, dtype)
    if _has_runs(plan, dtype):
        runs, total = _strided_runs(plan, dtype), whole_stride(plan) * width_out
        cells = max(1, min(_PLANES_BYTES // (extent * dtype.itemsize), most_cells))
        readers = readers_of(plan, runs)
        pitch = total + readers.margin
        chunk = max(1, _NODES_BYTES // (pitch * dtype.itemsize))
        half = (readers.margin + chunk * pitch + 2 * LINE) // LINE * LINE
        return (
            _adjoint.adjoint_runs,
            (
                (whole_stride(plan), chunk, pitch, readers.margin, readers.slots),
                (runs.u, _weights(runs, plan)),
                (readers.runs, readers.start, readers.offsets(half), readers.share, readers.span),
            ),
            cells,
            lambda _: (
                aligned(cells * extent, dtype.type(0)).reshape(cells, extent),
                aligned(2 * readers.slots * half, dtype.type(0)),
            ),
        )
    _, spread = pairs_of(plan, dtype)
    cell, node = np.divmod(spread.source, width_out)
    tables = (spread.start, cell * step + node, spread.weight)
    return _adjoint.adjoint_pairs, tables, 1, lambda _: np.empty(extent, dtype)


def _input_rows(plan: Plan, rows: Rows, pad: Any) -> Any:
    """Return the tables of rows of the transform."""
    _, u, h, w = plan.shape_in
    cell, node = np.divmod(rows.blend.source, h)
    offset = (cell * u * h + node) * w
    blend = (rows.blend.start, offset, rows.blend.weight, rows.blend.missing * pad)
    return blend, rows.run, rows.low, rows.reach


def _output_rows(plan: Plan, rows: Rows) -> Any:
    """Return the tables of rows of the adjoint, which keeps two runs in turns."""
    height, width = plan.grid_out[0], plan.grid_in[1]
    cell, node = np.divmod(rows.spread.source, height)
    run = np.searchsorted(rows.run, cell, side="right") - 1
    row = ((run & 1) * _longest_run(rows) + cell - rows.run[run]) * height + node
    spread = (rows.spread.start, row * width, rows.spread.weight, rows.spread.missing)
    return spread, rows.run, rows.low, rows.reach


def _longest_run(rows: Rows) -> int:
    return int(np.diff(rows.run).max())


def _are_single(rows: Rows, nodes: int) -> bool:
    """Return whether every row that reads anything is one row of the input."""
    entries = np.diff(rows.blend.start).reshape(-1, nodes)
    read = (np.arange(nodes) >= rows.reach[:, :1]) & (np.arange(nodes) < rows.reach[:, 1:])
    return bool((rows.blend.weight == 1).all() and (entries[read] == 1).all())


def _has_runs(plan: Plan, dtype: np.dtype[Any]) -> bool:
    """Return whether cells read consecutive nodes, most of them in runs as long as the stride."""
    stride = whole_stride(plan)
    most = 2 * (plan.window_out[1] + stride)
    return stride > 1 and len(_strided_runs(plan, dtype).node) * stride <= most


def _strided_runs(plan: Plan, dtype: np.dtype[Any]) -> Runs:
    """Return the runs of a dense transform, as long as the stride: they fill a row of nodes."""
    return runs_of(plan, dtype, whole_stride(plan))


def _weights(runs: Runs, plan: Plan) -> Array:
    """Return, (R, 2, F), the weights of each run's cells, repeated until they fill a vector."""
    stride, length = whole_stride(plan), np.diff(runs.u)
    weight = np.zeros((len(length), 2, stride), runs.weight.dtype)
    for k in range(stride):
        some = length > k
        weight[some, :, k] = runs.weight[:, runs.u[:-1][some] + k].T
    return np.tile(weight, -(-MANY // stride)).ravel()


def _spans(blend: Blend, width: int) -> Array:
    """Return, (D, 4), the columns x where any entry stays in its row and, within, where all do."""
    spans = np.full((len(blend.missing), 4), width)
    some = np.diff(blend.start) > 0
    low, high = blend.shift[blend.start[:-1][some]], blend.shift[blend.start[1:][some] - 1]
    spans[some] = np.stack((-high, -low, width - high, width - low), -1).clip(0, width)
    return spans


def _inside(span: Array) -> Array:
    """Return the first and the last + 1 of the output cells u that read anything."""
    some = np.flatnonzero(span[:, 0] < span[:, 3])
    return np.array([some[0], some[-1] + 1] if len(some) else [0, 0])


def _bounds(runs: Runs, total: int, width: int) -> Array:
    """Return, (R, 2), the t from and to which a run reads any node."""
    before = (runs.share[:, 1] > 0).astype(np.int64)
    return np.stack((-before - runs.node, width - runs.node), -1).clip(0, total)


def _inside_runs(runs: Runs, bounds: Array) -> Array:
    """Return the first and the last + 1 of the output cells u whose runs read anything."""
    some = np.flatnonzero(bounds[:, 0] < bounds[:, 1])
    return np.array([runs.u[some[0]], runs.u[some[-1] + 1]] if len(some) else [0, 0])
