"""The four functions of a backend: numpy arrays by compiled kernels, device arrays by CUDA."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import numpy as np
from numba import get_num_threads
from numpy.typing import NDArray

from tensormask_core.plan import Plan
from tensormask_core.taps import cell_taps, grid_taps
from tensormask_numba._half import as_float16, as_float32, converts_halves
from tensormask_numba._plans import MOST_CELLS, Work, adjoint_work, transform_work
from tensormask_numba._threads import run_in_threads
from tensormask_numba._window_copies import add_copies, copy_windows
from tensormask_numba._window_plans import between_cells, window_copies, window_runs
from tensormask_numba._window_runs import add_runs, read_runs
from tensormask_numba._windows import add_windows, first_outside, read_windows

Array = NDArray[Any]

_WORTH_THREADS = 1 << 16  # samples, below which starting a thread takes longer than it saves
_COPIED = 16  # times as many samples where they are only copied
_COMPUTABLE = (np.dtype(np.float32), np.dtype(np.float64))


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
        source = self._computable(x)
        work = transform_work(plan, source.dtype, -(-self._threads() // len(x)))
        out = self._dense(source, plan.shape_out, work, plan)
        if not np.isfinite(plan.pad_value):
            np.copyto(out, plan.pad_value, where=_outside(plan))
        return self._returned(out, x.dtype)

    def transform_adjoint(self, g: Any, plan: Plan) -> Any:
        """Return the adjoint (N, *plan.shape_in) at ``g`` (N, *plan.shape_out)."""
        if not isinstance(g, np.ndarray):
            return self._device(g).transform_adjoint(g, plan)
        if not g.size:
            return np.zeros((g.shape[0], *plan.shape_in), g.dtype)
        source = self._computable(g)
        share = -(-len(g) * plan.window_in[1] // self._threads())
        work = adjoint_work(plan, source.dtype, min(share, MOST_CELLS))
        return self._returned(self._dense(source, plan.shape_in, work, plan), g.dtype)

    def windows(self, x: Any, plan: Plan, index: Any) -> Any:
        """Return the windows (K, *plan.window_out) at ``index`` (K, 3)."""
        if not isinstance(x, np.ndarray):
            return self._device(x).windows(x, plan, index)
        places = _checked_index(index, x.shape[0])
        if not x.size:
            return np.full((len(index), *plan.window_out), plan.pad_value, x.dtype)
        out = self._read_windows(self._computable(x), plan, places)
        return self._returned(out, x.dtype)

    def windows_adjoint(self, g: Any, plan: Plan, index: Any, batch: int) -> Any:
        """Return the adjoint (batch, *plan.shape_in) at ``g`` (K, *plan.window_out)."""
        if not isinstance(g, np.ndarray):
            return self._device(g).windows_adjoint(g, plan, index, batch)
        places = _checked_index(index, batch)
        out = self._add_windows(self._computable(g), plan, places, batch)
        return self._returned(out, g.dtype)

    def _computable(self, x: Array) -> Array:
        """Return a contiguous array of float32, or of float64 if it is one."""
        if x.dtype in _COMPUTABLE and x.flags.c_contiguous:
            return x
        dtype = np.result_type(x.dtype, np.float32)
        if dtype not in _COMPUTABLE:
            raise TypeError(
                "the numba backend takes float16, bfloat16, float32 and float64, got "
                f"{x.dtype}; convert it, e.g. x.astype(numpy.float64)"
            )
        if x.dtype == np.float16 and converts_halves():
            return as_float32(x, self._run)
        return np.ascontiguousarray(x, dtype=dtype)

    def _returned(self, out: Array, dtype: Any) -> Array:
        """Return a result as an array of the caller's dtype."""
        if dtype == np.float16 and converts_halves():
            return as_float16(out, self._run)
        return out.astype(dtype, copy=False)

    def _dense(self, x: Array, shape: tuple[int, ...], work: Work, plan: Plan) -> Array:
        """Do all tasks of a dense kernel on a contiguous array."""
        out = np.empty((len(x), *shape), x.dtype)

        def some(begin: int, end: int) -> None:
            work.kernel(
                x.reshape(-1), out.reshape(-1), plan.shape_in, plan.shape_out, *work.tables,
                work.buffers(out.nbytes), begin, end,
            )  # fmt: skip

        self._run(some, len(x) * work.tasks, x.size + out.size)
        return out

    def _read_windows(self, x: Array, plan: Plan, index: Array) -> Array:
        """Return the windows at ``index`` of a contiguous array."""
        out = np.empty((len(index), *plan.window_out), x.dtype)
        flat, windows, pad = x.reshape(-1), out.reshape(-1), x.dtype.type(plan.pad_value)
        if copies := window_copies(plan):
            copy = partial(copy_windows, flat, windows, index, copies, pad)
            self._run(copy, len(index), out.size // _COPIED)
            return out
        runs = window_runs(plan, x.dtype) if np.isfinite(plan.pad_value) else None

        def read(begin: int, end: int) -> None:
            if runs:
                arguments = (index, runs.rows, runs.columns, runs.buffers(pad), pad)
                read_runs(flat, windows, plan.shape_in, *arguments, begin, end)
            else:
                sides = (between_cells(plan, 0), between_cells(plan, 1))
                read_windows(
                    flat, plan.shape_in, index, *sides, plan.node_map, pad, out, begin, end
                )

        self._run(read, len(index), out.size)
        return out

    def _add_windows(self, g: Array, plan: Plan, index: Array, batch: int) -> Array:
        """Return the adjoint at contiguous windows."""
        out = np.zeros((batch, *plan.shape_in), g.dtype)
        if not out.size or not g.size:
            return out
        flat, tasks = out.reshape(-1), batch * plan.window_in[0]
        if copies := window_copies(plan):
            add_back = partial(add_copies, g.reshape(-1), flat, index, copies)
            self._run(add_back, tasks, g.size // _COPIED)
            return out
        g, index, starts = _by_image(g, index, batch)
        runs = window_runs(plan, g.dtype)

        def add(begin: int, end: int) -> None:
            if runs:
                arguments = (index, starts, runs.rows, runs.columns, runs.buffers(), runs.readers)
                add_runs(g.reshape(-1), flat, plan.shape_in, *arguments, begin, end)
            else:
                sides = (between_cells(plan, 0), between_cells(plan, 1))
                add_windows(
                    g, plan.shape_in, index, starts, *sides, plan.node_map, flat, begin, end
                )

        self._run(add, tasks, g.size)
        return out


def _by_image(g: Array, index: Array, batch: int) -> tuple[Array, Array, Array]:
    """Return windows sorted by image, and (batch + 1,) where those of each image begin."""
    if batch > 1 and (np.diff(index[:, 0]) < 0).any():
        order = np.argsort(index[:, 0], kind="stable")
        g, index = g[order], index[order]
    return g, index, np.searchsorted(index[:, 0], np.arange(batch + 1))


def _outside(plan: Plan) -> Array:
    """Return where (V', U', H', W') anything outside is read."""
    down, across = (
        cell_taps(plan, axis).inside[:, None] & grid_taps(plan, axis).inside.T for axis in range(2)
    )
    inside: Array = down[:, None, :, None] & across[None, :, None, :]
    return ~inside


def _checked_index(index: Array, batch: int) -> Array:
    """Return ``index`` (K, 3) as the kernels read it, of images that exist."""
    if index.dtype != np.int64 or not index.flags.carray:
        index = index.astype(np.int64, order="C")
    wrong = first_outside(index, batch)
    if wrong >= 0:
        raise IndexError(
            f"index expects batch indices in [0, {batch}), got {index[wrong, 0]} in row {wrong}; "
            "only y and x may lie outside"
        )
    return index
