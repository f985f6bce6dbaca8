"""The dense transform and its adjoint: one kernel, two sets of tables."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from tensormask_core.plan import Plan
from tensormask_cupy._columns import PACK, make_columns
from tensormask_cupy._device import DTYPES, Device, sum_dtype, tap_records
from tensormask_cupy._periodic import periodic_taps
from tensormask_cupy._rows import ROWS, list_rows, read_rows
from tensormask_cupy._stencil import stencil_rows

_THREADS = 320
# A block that takes more leaves its multiprocessor without a second one to wait for.
_SHARED_BYTES = 80 * 1024


def transform(device: Device, x: Any, plan: Plan) -> Any:
    """Return the output (N, *plan.shape_out) of ``x`` (N, *plan.shape_in)."""
    return _apply(device, x, plan, plan.shape_out, adjoint=False)


def transform_adjoint(device: Device, g: Any, plan: Plan) -> Any:
    """Return the adjoint (N, *plan.shape_in) at ``g`` (N, *plan.shape_out)."""
    return _apply(device, g, plan, plan.shape_in, adjoint=True)


def _apply(device: Device, x: Any, plan: Plan, shape: tuple[int, ...], *, adjoint: bool) -> Any:
    x = device.xp.ascontiguousarray(x)
    out = device.xp.empty((x.shape[0], *shape), x.dtype)
    if not out.size:
        return out
    arrays, layout, slots = _tables(device, plan, str(x.dtype), adjoint)
    groups, tiles = len(arrays[3]) // ROWS, len(arrays[-1])
    blocks = x.shape[0] * groups * tiles
    sizes = (
        *(blocks, groups, tiles, x[0].size, out[0].size, x[0, 0, 0].size, out[0, 0, 0].size),
        *(x.shape[4], *layout, slots, _pack(device, x), not arrays[0].size),
    )
    pad_value = 0.0 if adjoint else plan.pad_value
    shared = (slots + 1) * _slot_bytes(str(x.dtype))
    arguments = (x, out, *arrays, *sizes, pad_value)
    grid = blocks, min(_THREADS, device.largest_block), shared
    device.launch("separable", str(x.dtype), grid, arguments)
    return out


@lru_cache(maxsize=64)
def _tables(
    device: Device, plan: Plan, dtype: str, adjoint: bool
) -> tuple[tuple[Any, ...], tuple[int, ...], int]:
    """Return the arrays that the kernel looks things up in, and the layout in shared memory."""
    vertical, horizontal = (
        taps.transposed() if adjoint else taps
        for taps in (periodic_taps(plan, axis) for axis in range(2))
    )
    capacity = min(_SHARED_BYTES, device.shared_bytes) // _slot_bytes(dtype) - 1
    reads, columns = read_rows(vertical, horizontal), make_columns(horizontal, capacity)
    rows = stencil_rows(reads, plan, adjoint=adjoint) or list_rows(reads)
    total = sum_dtype(dtype)
    tables = (
        *(rows.first, rows.source * _bytes(dtype), rows.weight.astype(total)),
        *(rows.target * _bytes(dtype), rows.missing.astype(total)),
        tap_records(dtype, columns.place, columns.node, columns.weight),
        *(columns.cell_missing.astype(total), columns.tiles),
    )
    layout = (
        *(horizontal.phases, horizontal.stride, columns.taps),
        *(columns.stride, columns.run, columns.pitch),
    )
    return device.upload(tables), layout, columns.slots


def _bytes(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def _slot_bytes(dtype: str) -> int:
    return ROWS * (8 if DTYPES[dtype] == "double" else 4)


def _pack(device: Device, x: Any) -> int:
    """Return 1 unless nodes can be read several at a time."""
    return PACK if device.address(x) % 16 == 0 and x.shape[4] % PACK == 0 else 1
