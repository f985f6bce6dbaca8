"""The four functions of a backend, in the array-API standard.

Nothing depends on values unless they can be seen, so the functions may be traced (``jax.jit``,
``jax.grad``, ``jax.vmap``). Flat indices are of the library's default integer type: JAX without
64-bit types reads arrays of up to 2^31 values.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from tensormask_array_api._tables import Table, adjoint_table, forward_table
from tensormask_array_api._windows import WindowTaps, check_batch, row_matrix, window_taps
from tensormask_core.layout import dtype_name
from tensormask_core.plan import Plan
from tensormask_core.taps import cell_taps, grid_taps

# Where the axes of (N, V, U, H, W) stand that one stage of the separable transform blends.
_STAGE_AXES = ((1, 3), (2, 4))


class ArrayApiBackend:
    """Transforms the arrays of any library that follows the array-API standard."""

    name = "array_api"

    def transform(self, x: Any, plan: Plan) -> Any:
        """Gather (V, H), then (U, W): at most 4 + 4 takes."""
        out = _compute(x)
        for axis, axes in enumerate(_STAGE_AXES):
            extents = plan.window_out[axis], plan.grid_out[axis]
            out = _gather(out, forward_table(plan, axis), axes, extents)
        return _cast(_pad_dense(out, plan), x)

    def transform_adjoint(self, g: Any, plan: Plan) -> Any:
        """Gather with the transposed tables: for each sample, the outputs that read it."""
        out = _compute(g)
        for axis, axes in reversed(list(enumerate(_STAGE_AXES))):
            extents = plan.window_in[axis], plan.grid_in[axis]
            out = _gather(out, adjoint_table(plan, axis), axes, extents)
        return _cast(out, g)

    def windows(self, x: Any, plan: Plan, index: Any) -> Any:
        """Gather the 16 taps of each cell of each window: 16 * K * V_out * U_out values."""
        xp = array_namespace(x)
        check_batch(index, x.shape[0])
        rows, columns = (window_taps(plan, axis, index, _compute_dtype(x)) for axis in (0, 1))
        shape = (index.shape[0], *plan.window_out)
        out = xp.zeros(shape, dtype=_compute_dtype(x), device=device(x))
        if math.prod(x.shape):
            place = _flat_index(plan, index, rows, columns)  # (K, V_out, U_out, 4, 4)
            flat = xp.reshape(x, (math.prod(x.shape),))
            value = _compute(xp.reshape(xp.take(flat, xp.reshape(place, (-1,))), place.shape))
            weight = rows.weight[:, :, None, :, None] * columns.weight[:, None, :, None, :]
            out = xp.sum(weight * value, axis=(-2, -1))
        inside = rows.inside[:, :, None] & columns.inside[:, None, :]
        down, across = (xp.sum(taps.weight, axis=-1) for taps in (rows, columns))
        total = down[:, :, None] * across[:, None, :]
        return _cast(_pad(out, total, inside, plan.pad_value), x)

    def windows_adjoint(self, g: Any, plan: Plan, index: Any, batch: int) -> Any:
        """Multiply by the transposed row and column matrices of the windows.

        Without scatter each window is compared with each sample: K * U_out multiply-adds per
        value of the result and image, K * (V * H + U * W) * U_out values in between. Libraries
        that differentiate by themselves, such as JAX, need it for nothing: they scatter.
        """
        xp = array_namespace(g)
        check_batch(index, batch)
        (v, u), (h, w) = plan.window_in, plan.grid_in
        values = _compute(g)
        down = xp.matrix_transpose(row_matrix(plan, 0, index, values.dtype))  # (K, V*H, V_out)
        across = row_matrix(plan, 1, index, values.dtype)  # (K, U_out, U*W)
        right = xp.reshape(across, (across.shape[0] * across.shape[1], across.shape[2]))
        images = []
        for image in range(batch):
            own = xp.astype(index[:, 0] == image, values.dtype)[:, None, None]
            left = xp.permute_dims(xp.matmul(down, own * values), (1, 0, 2))  # (V*H, K, U_out)
            out = xp.matmul(xp.reshape(left, (v * h, right.shape[0])), right)  # (V*H, U*W)
            images.append(xp.permute_dims(xp.reshape(out, (v, h, u, w)), (0, 2, 1, 3)))
        if not images:
            return xp.zeros((0, *plan.shape_in), dtype=g.dtype, device=device(g))
        return _cast(xp.stack(images), g)


def _gather(x: Any, table: Table, axes: tuple[int, int], extents: tuple[int, int]) -> Any:
    """Apply ``table`` to the pair ``axes`` of ``x``, which gets the extents ``extents``."""
    xp = array_namespace(x)
    order = (*axes, *(axis for axis in range(x.ndim) if axis not in axes))
    pair = xp.permute_dims(x, order)
    rest = tuple(pair.shape[2:])
    flat = xp.reshape(pair, (pair.shape[0] * pair.shape[1], math.prod(rest)))
    out = xp.zeros((math.prod(extents), flat.shape[1]), dtype=x.dtype, device=device(x))
    for source, weight in zip(table.source, table.weight, strict=True):
        out = out + _constant(weight, x)[:, None] * xp.take(flat, _constant(source, x), axis=0)
    back = tuple(int(axis) for axis in np.argsort(order))
    return xp.permute_dims(xp.reshape(out, (*extents, *rest)), back)


def _pad_dense(out: Any, plan: Plan) -> Any:
    """Add what padding contributes to the dense transform (N, V, U, H, W)."""
    places = ((slice(None), None, slice(None), None), (None, slice(None), None, slice(None)))
    weight, inside = 1.0, True
    for axis, place in enumerate(places):
        cells, nodes = cell_taps(plan, axis), grid_taps(plan, axis)
        total = cells.weight.sum(-1)[:, None] * nodes.weight.sum(-1).T  # (V, H), then (U, W)
        weight = weight * _constant(total[place], out)
        inside = _constant((cells.inside[:, None] & nodes.inside.T)[place], out) & inside
    return _pad(out, weight, inside, plan.pad_value)


def _pad(out: Any, weight: Any, inside: Any, pad_value: float) -> Any:
    """Add ``(1 - weight) * pad_value`` where not ``inside``, so that infinity stays outside."""
    if not pad_value:
        return out
    xp = array_namespace(out)
    missing = xp.where(inside, xp.ones_like(weight), 1.0 - weight) * pad_value
    return xp.where(inside, out, out + missing)


def _flat_index(plan: Plan, index: Any, rows: WindowTaps, columns: WindowTaps) -> Any:
    """Return the places (K, V_out, U_out, 4, 4) of all taps in the flattened (N, V, U, H, W)."""
    xp = array_namespace(index)
    v, u, h, w = plan.shape_in
    batch = xp.astype(index[:, 0], rows.node.dtype)[:, None, None]
    down = (batch * v + rows.cell) * (u * h * w) + rows.node * w  # (K, V_out, 4)
    across = columns.cell * (h * w) + columns.node
    return down[:, :, None, :, None] + across[:, None, :, None, :]


def _compute_dtype(x: Any) -> Any:
    """Return the dtype to accumulate in: float32 for half precision."""
    xp = array_namespace(x)
    return xp.float32 if dtype_name(x) in ("float16", "bfloat16") else x.dtype


def _compute(x: Any) -> Any:
    return array_namespace(x).astype(x, _compute_dtype(x))


def _cast(out: Any, like: Any) -> Any:
    return array_namespace(out).astype(out, like.dtype)


def _constant(table: Any, like: Any) -> Any:
    """Return a numpy table as an array beside ``like``, weights in its dtype."""
    xp = array_namespace(like)
    if table.dtype == np.float64:
        table = table.astype(dtype_name(like))
    return xp.asarray(table, device=device(like))
