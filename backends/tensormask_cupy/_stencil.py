"""Groups of 2 x 2 rows that read 3 x 3 rows: the dense transform, and most of its adjoints.

Output row (v, y) reads cells and nodes ``low`` and ``low + 1`` of the lattice of input rows. In the
adjoint the rows (v, y) stand at their ``low`` in that lattice, and input row (cell, node) is read
there, or one before.
"""

from __future__ import annotations

import numpy as np

from tensormask_core.plan import Plan
from tensormask_cupy._periodic import Array
from tensormask_cupy._rows import ROWS, Reads, Rows

_SIDE = 3  # of the square of input rows


def stencil_rows(reads: Reads, plan: Plan, *, adjoint: bool) -> Rows | None:
    """Return the tables of a stencil, or None where two input rows stand at one place."""
    written, read = _places(plan, reads, adjoint=adjoint)
    bucket, slot = written // 2, (written % 2) @ (2, 1)
    group = _groups(bucket, slot)
    row, tap = np.nonzero(reads.inside)
    step = read[row, tap] - written[row]  # (T, 2), 0 or 1
    corner = written[row] % 2 + step
    source = np.full((group.max() + 1, _SIDE * _SIDE), -1)
    at = group[row], corner @ (_SIDE, 1)
    source[at] = reads.source[row, tap]
    if (source[at] != reads.source[row, tap]).any():
        return None
    weight = np.zeros((len(source), ROWS, 4))
    weight[group[row], slot[row], step @ (2, 1)] = reads.weight[row, tap]
    target, missing = np.full((len(source), ROWS), -1), np.zeros((len(source), ROWS))
    target[group, slot], missing[group, slot] = reads.target, reads.missing
    return Rows(
        target.reshape(-1),
        missing.reshape(-1),
        source.reshape(-1),
        weight.reshape(-1),
        np.zeros(0, np.int32),
    )


def _places(plan: Plan, reads: Reads, *, adjoint: bool) -> tuple[Array, Array]:
    """Return where output rows, (M, 2), and what their taps read, (M, K, 2), stand."""
    low = _low(plan)
    if not adjoint:
        return low.reshape(-1, 2), np.stack([reads.cell, reads.node], axis=-1)
    cells, nodes = plan.window_in[0], plan.grid_in[0]
    lattice = np.indices((cells, nodes)).reshape(2, -1).T
    within = reads.node.clip(0, plan.grid_out[0] - 1)
    return lattice - 1, low[reads.cell, within]


def _low(plan: Plan) -> Array:
    """Return the lower cell and node, (V_out, H_out, 2), that output rows read."""
    extent = plan.window_out[0]
    centred = 2 * np.arange(extent) - (extent - 1)
    p, q = plan.cell_map
    half_cells = p * centred + q * (plan.window_in[0] - 1)
    cell = (half_cells + (q if plan.mode == "nearest" else 0)) // (2 * q)
    p, q, d = plan.node_map
    node = (p * np.arange(plan.grid_out[0]) + q * centred[:, None]) // d  # (V_out, H_out)
    return np.stack([np.broadcast_to(cell[:, None], node.shape), node], axis=-1)


def _groups(bucket: Array, slot: Array) -> Array:
    """Return the group (M,) of each row: one bucket each, and no slot twice."""
    order = np.lexsort((slot, bucket[:, 1], bucket[:, 0]))
    keys = np.column_stack([bucket, slot])[order]
    fresh = np.ones(len(keys), bool)
    fresh[1:] = (keys[1:] != keys[:-1]).any(1)
    start = np.flatnonzero(fresh)
    rank = np.empty(len(keys), np.int64)
    rank[order] = np.arange(len(keys)) - np.repeat(start, np.diff([*start, len(keys)]))
    return np.unique(np.column_stack([bucket, rank]), axis=0, return_inverse=True)[1].reshape(-1)
