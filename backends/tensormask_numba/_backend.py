"""The four functions of a backend: numpy arrays by compiled kernels, device arrays by CUDA."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numba import get_num_threads
from numpy.typing import NDArray

from tensormask_core.plan import Plan
from tensormask_core.taps import cell_taps, grid_taps
from tensormask_numba._plans import MOST_CELLS, Work, adjoint_work, transform_work
from tensormask_numba._threads import run_in_threads
from tensormask_numba._window_copies import add_copies, copy_windows
from tensormask_numba._window_plans import between_cells, window_copies, window_runs
from tensormask_numba._window_runs import add_runs, read_runs
from tensormask_numba._windows import add_windows, read_windows

Array = NDArray[Any]

_WORTH_THREADS = 1 << 16  # samples, below which starting a thread takes longer than it saves


class NumbaBackend:
    """Transforms numpy arrays on all cores, and arrays that CUDA can read on their device.

    ``threads`` says on how many threads to run; by default it asks numba.
    """

    name = "numba"

    def __init__(self, threads: Callable[[], int] = get_num_threads) -> None:
        self._threads = threads

    def _run(self, task: Callable[[int, int], None], count: int, samples: int) -> None:
        run_in_threads(task, count, self._threads() if samples > _WORTH_THREADS else 1)

    @cached_property
    def _kernels(self) -> Any:
        from tensormask_numba._cuda import CudaKernels  # noqa: PLC0415  (loaded when it is needed)

        return CudaKernels()

    def _device(self, x: Any) -> Any:
        """Return the kernels for an array on a device."""
        if not hasattr(x, "__cuda_array_interface__"):
            raise TypeError(
                "the numba backend takes numpy arrays, and arrays on a CUDA device, got "
                f"{type(x).__module__}.{type(x).__qualname__}; leave it to the backend of its "
                "library, or convert it with numpy.asarray"
            )
        return self._kernels

    def transform(self, x: Any, plan: Plan) -> Any:
        """Return the output (N, *plan.shape_out)."""
        if not isinstance(x, np.ndarray):
            return self._device(x).transform(x, plan)
        if not x.size:
            return np.full((x.shape[0], *plan.shape_out), plan.pad_value, x.dtype)
        source = _computable(x)
        out = self._dense(source, plan.shape_out, transform_work(plan, source.dtype), plan)
        if not np.isfinite(plan.pad_value):
            np.copyto(out, plan.pad_value, where=_outside(plan))
        return out.astype(x.dtype, copy=False)

    def transform_adjoint(self, g: Any, plan: Plan) -> Any:
        """Return the adjoint (N, *plan.shape_in) at ``g`` (N, *plan.shape_out)."""
        if not isinstance(g, np.ndarray):
            return self._device(g).transform_adjoint(g, plan)
        if not g.size:
            return np.zeros((g.shape[0], *plan.shape_in), g.dtype)
        source = _computable(g)
        share = -(-len(g) * plan.window_in[1] // self._threads())
        work = adjoint_work(plan, source.dtype, min(share, MOST_CELLS))
        return self._dense(source, plan.shape_in, work, plan).astype(g.dtype, copy=False)

    def windows(self, x: Any, plan: Plan, index: Any) -> Any:
        """Return the windows (K, *plan.window_out) at ``index`` (K, 3)."""
        if not isinstance(x, np.ndarray):
            return self._device(x).windows(x, plan, index)
        _check_batch(index, x.shape[0])
        if not x.size:
            return np.full((len(index), *plan.window_out), plan.pad_value, x.dtype)
        out = self._read_windows(_computable(x), plan, index.astype(np.int64, order="C"))
        return out.astype(x.dtype, copy=False)

    def windows_adjoint(self, g: Any, plan: Plan, index: Any, batch: int) -> Any:
        """Return the adjoint (batch, *plan.shape_in) at ``g`` (K, *plan.window_out)."""
        if not isinstance(g, np.ndarray):
            return self._device(g).windows_adjoint(g, plan, index, batch)
        _check_batch(index, batch)
        places = index.astype(np.int64, order="C")
        values = g
        if batch > 1 and (np.diff(places[:, 0]) < 0).any():
            order = np.argsort(places[:, 0], kind="stable")
            values, places = g[order], places[order]
        out = self._add_windows(_computable(values), plan, places, batch)
        return out.astype(g.dtype, copy=False)

    def _dense(self, x: Array, shape: tuple[int, ...], work: Work, plan: Plan) -> Array:
        """Do all tasks of a dense kernel on a contiguous array."""
        out = np.empty((len(x), *shape), x.dtype)

        def some(begin: int, end: int) -> None:
            work.kernel(
                x.reshape(-1), out.reshape(-1), plan.shape_in, plan.shape_out, *work.tables,
                work.buffers(), begin, end,
            )  # fmt: skip

        self._run(some, len(x) * work.tasks, x.size + out.size)
        return out

    def _read_windows(self, x: Array, plan: Plan, index: Array) -> Array:
        """Return the windows at ``index`` of a contiguous array."""
        out = np.empty((len(index), *plan.window_out), x.dtype)
        copies, pad = window_copies(plan), x.dtype.type(plan.pad_value)
        runs = window_runs(plan, x.dtype) if np.isfinite(plan.pad_value) else None

        def read(begin: int, end: int) -> None:
            flat = x.reshape(-1)
            if copies:
                copy_windows(
                    flat, out.reshape(-1), plan.shape_in, index, tuple(copies), pad, begin, end
                )
            elif runs:
                arguments = (index, runs.rows, runs.columns, runs.buffers(pad), pad)
                read_runs(flat, out.reshape(-1), plan.shape_in, *arguments, begin, end)
            else:
                sides = (between_cells(plan, 0), between_cells(plan, 1))
                read_windows(
                    flat, plan.shape_in, index, *sides, plan.node_map, pad, out, begin, end
                )

        self._run(read, len(index), out.size)
        return out

    def _add_windows(self, g: Array, plan: Plan, index: Array, batch: int) -> Array:
        """Return the adjoint at contiguous windows that are sorted by image."""
        out = np.zeros((batch, *plan.shape_in), g.dtype)
        if not out.size or not g.size:
            return out
        starts = np.searchsorted(index[:, 0], np.arange(batch + 1))
        copies, runs = window_copies(plan), window_runs(plan, g.dtype)

        def add(begin: int, end: int) -> None:
            flat = out.reshape(-1)
            if copies:
                tables = tuple(copies)
                add_copies(g.reshape(-1), flat, plan.shape_in, index, starts, tables, begin, end)
            elif runs:
                arguments = (index, starts, runs.rows, runs.columns, runs.buffers(), runs.readers)
                add_runs(g.reshape(-1), flat, plan.shape_in, *arguments, begin, end)
            else:
                sides = (between_cells(plan, 0), between_cells(plan, 1))
                add_windows(
                    g, plan.shape_in, index, starts, *sides, plan.node_map, flat, begin, end
                )

        self._run(add, batch * plan.window_in[0], g.size)
        return out


def _computable(x: Array) -> Array:
    """Return a contiguous array of float32, or of float64 if it is one."""
    dtype = np.result_type(x.dtype, np.float32)
    if dtype not in (np.float32, np.float64):
        raise TypeError(
            "the numba backend takes float16, bfloat16, float32 and float64, got "
            f"{x.dtype}; convert it, e.g. x.astype(numpy.float64)"
        )
    return np.ascontiguousarray(x, dtype=dtype)


def _outside(plan: Plan) -> Array:
    """Return where (V', U', H', W') anything outside is read."""
    down, across = (
        cell_taps(plan, axis).inside[:, None] & grid_taps(plan, axis).inside.T for axis in range(2)
    )
    inside: Array = down[:, None, :, None] & across[None, :, None, :]
    return ~inside


def _check_batch(index: Array, batch: int) -> None:
    images = index[:, 0]
    if len(images) and (images.min() < 0 or images.max() >= batch):
        wrong = np.flatnonzero((images < 0) | (images >= batch))
        raise IndexError(
            f"index expects batch indices in [0, {batch}), got {index[wrong[0], 0]} in row "
            f"{wrong[0]}; only y and x may lie outside"
        )
