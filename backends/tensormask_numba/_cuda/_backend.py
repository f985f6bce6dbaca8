"""The four functions of a backend, as kernels of numba on CUDA arrays."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import cuda

from tensormask_core.errors import BackendUnavailable
from tensormask_core.plan import Plan
from tensormask_numba._cuda._arrays import (
    SIMULATED,
    Flat,
    Shape,
    caller,
    element_of,
    flat,
    library_of,
    matrix,
)
from tensormask_numba._cuda._dense_kernels import make_direct, make_tiled
from tensormask_numba._cuda._elements import ELEMENTS
from tensormask_numba._cuda._matrix import matrix_of
from tensormask_numba._cuda._nodes import make_nodes
from tensormask_numba._cuda._sparse_kernels import STRIP, make_windows, make_windows_adjoint
from tensormask_numba._cuda._tables import Steps, make_columns, make_rows, make_taps

# The simulator starts an operating-system thread for each thread of a block.
THREADS, BLOCKS = (3, 2) if SIMULATED else (256, (1 << 31) - 1)

_KERNELS = {
    "tiled": make_tiled,
    "direct": make_direct,
    "windows": make_windows,
    "windows_adjoint": make_windows_adjoint,
}


class CudaKernels:
    """Transforms CUDA arrays of torch, cupy and numba, on the caller's device and stream.

    Nothing waits for the device, except that a plan's tables are uploaded when it is first used on
    a device; to capture a CUDA graph, run the plan once before.

    Raises:
        BackendUnavailable: there is no CUDA device that numba can use.
    """

    name = "numba"

    def __init__(self) -> None:
        if not cuda.is_available():
            raise BackendUnavailable(
                "CUDA arrays need a CUDA device, which numba cannot find; install a driver and "
                "pip install 'numba-cuda[cu13]', or move the arrays to the CPU as numpy arrays"
            )

    def transform(self, x: Any, plan: Plan) -> Any:
        """Return the output (N, *plan.shape_out) of ``x`` (N, *plan.shape_in)."""
        return _dense(x, plan, (x.shape[0], *plan.shape_out), adjoint=False)

    def transform_adjoint(self, g: Any, plan: Plan) -> Any:
        """Return the adjoint (N, *plan.shape_in) at ``g`` (N, *plan.shape_out)."""
        return _dense(g, plan, (g.shape[0], *plan.shape_in), adjoint=True)

    def windows(self, x: Any, plan: Plan, index: Any) -> Any:
        """Return the windows (K, *plan.window_out) at ``index`` (K, 3)."""
        _check_batch(index, x.shape[0])
        name = element_of(x)
        with caller(x) as stream:
            out = library_of(x).empty((index.shape[0], *plan.window_out), x)
            if _size(out.shape):
                line, pad = flat(out).data, _number(plan.pad_value, name)
                launch = _kernel("windows", name)[_grid(len(line)), THREADS, stream]
                launch(_read(x, out), line, matrix(index, x), *_nodes(plan, name, _device()), pad)
            return out

    def windows_adjoint(self, g: Any, plan: Plan, index: Any, batch: int) -> Any:
        """Return the adjoint (batch, *plan.shape_in) at ``g`` (K, *plan.window_out)."""
        _check_batch(index, batch)
        name = element_of(g)
        with caller(g) as stream:
            out = library_of(g).empty((batch, *plan.shape_in), g)
            if _size(out.shape):
                v, u, h, w = plan.shape_in
                blocks = batch * v * u * -(-h * w // STRIP)
                launch = _kernel("windows_adjoint", name)[min(blocks, BLOCKS), THREADS, stream]
                tables = _nodes(plan, name, _device())
                launch(_read(g, out), flat(out), matrix(index, g), *tables, blocks)
            return out


def _dense(x: Any, plan: Plan, shape: Shape, *, adjoint: bool) -> Any:
    """Apply the two matrices of a plan or, for the adjoint, of its transpose."""
    name = element_of(x)
    with caller(x) as stream:
        out = library_of(x).empty(shape, x)
        if not _size(out.shape):
            return out
        read, write = _read(x, out), flat(out)
        down = Steps((read.v, read.y), (write.v, write.y))
        across = Steps((read.u, read.x), (write.u, write.x))
        kind, rows, columns = _matrices(plan, name, _device(), adjoint, down, across)
        count, threads = _size(shape), 1
        if kind == "tiled":
            count, threads = shape[0] * len(rows.target) * len(columns.first), THREADS
        pad = _number(0.0 if adjoint else plan.pad_value, name)
        launch = _kernel(kind, name)[_grid(count, threads), THREADS, stream]
        launch(read, write, rows, columns, count, pad)
        return out


@lru_cache(maxsize=64)
def _kernel(kind: str, name: str) -> Any:
    return _KERNELS[kind](name)


@lru_cache(maxsize=64)
def _matrices(
    plan: Plan, name: str, device: int, adjoint: bool, down: Steps, across: Steps
) -> tuple[str, Any, Any]:
    """Return the kernel to use and its tables, on a device."""
    rows, columns = (matrix_of(plan, axis, adjoint=adjoint) for axis in range(2))
    dtype = ELEMENTS[name].compute
    tiles = make_columns(columns, dtype)
    if tiles is None:
        taps = make_taps(rows, dtype, down), make_taps(columns, dtype, across)
        return "direct", *map(_upload, taps)
    return "tiled", _upload(make_rows(rows, dtype, down)), _upload(tiles)


@lru_cache(maxsize=64)
def _nodes(plan: Plan, name: str, device: int) -> tuple[Any, Any]:
    dtype = ELEMENTS[name].compute
    return _upload(make_nodes(plan, 0, dtype)), _upload(make_nodes(plan, 1, dtype))


def _upload(tables: Any) -> Any:
    """Return a tuple of tables on the current device, ready for any stream."""
    placed = type(tables)(
        *(cuda.to_device(table) if isinstance(table, np.ndarray) else table for table in tables)
    )
    cuda.synchronize()
    return placed


def _read(x: Any, out: Any) -> Flat:
    """Return what a kernel reads; of an empty array nothing, but there must be some memory."""
    return flat(x) if _size(x.shape) else flat(out)._replace(extent=x.shape[0])


def _device() -> int:
    return 0 if SIMULATED else int(cuda.current_context().device.id)


def _number(value: float, name: str) -> Any:
    """Return a number of the dtype to compute in, so that nothing is widened to float64."""
    return np.dtype(ELEMENTS[name].compute).type(value)


def _grid(count: int, threads: int | None = None) -> int:
    return min(-(-count // (threads or THREADS)), BLOCKS)


def _size(shape: Shape) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _check_batch(index: Any, batch: int) -> None:
    """Raise where it costs nothing to look: on a device it would mean to wait."""
    if not SIMULATED or not index.shape[0]:
        return
    image = np.asarray(index.copy_to_host())[:, 0]
    if image.min() < 0 or image.max() >= batch:
        raise IndexError(
            f"index expects batch indices from 0 to {batch - 1}, got {image.min()} to "
            f"{image.max()}; only y and x may lie outside"
        )
