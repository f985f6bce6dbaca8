"""Nodes: what windows read and who reads a cell, as tables that hold wherever the window is.

Moving a window moves the nodes that it reads alike, except that a fractional stride passes through
phases: the node ``p * y / d`` of :attr:`Plan.node_map` is a whole number plus one of
``d / gcd(p, d)`` fractions.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tensormask_core.plan import Plan
from tensormask_core.taps import cell_taps


class Nodes(NamedTuple):
    """Taps along (V, H) or (U, W), for P phases; nodes are relative to the window's place.

    Attributes:
        scale: (p, d, gcd(p, d)): a window at ``y`` stands at node ``p * y / d``.
        extent: H or W of the input.
        low: (P, V_out) int64, the lower of the two nodes that each output cell reads.
        fraction: (P, V_out), the weight of the upper one.
        cell: (V_out, 2) int64, the input cells that each output cell reads.
        weight: (V_out, 2), their weights.
        missing: (V_out,), the weight of cells beyond the window.
        start: (V_in + 1,) int32, where the readers of each input cell begin.
        reader: (T,) int64, output cells by the input cell that they read.
        share: (T,), with which weight.
    """

    scale: tuple[int, int, int]
    extent: int
    low: Any
    fraction: Any
    cell: Any
    weight: Any
    missing: Any
    start: Any
    reader: Any
    share: Any


def make_nodes(plan: Plan, axis: int, dtype: Any) -> Nodes:
    """Return the tables of a plan for ``axis`` 0 (V, H) or 1 (U, W)."""
    p, q, d = plan.node_map
    step = math.gcd(p, d)
    extent = plan.window_out[axis]
    phases = np.arange(0, d, step)[:, None]
    low, rest = np.divmod(phases + q * (2 * np.arange(extent) - (extent - 1)), d)
    cells = cell_taps(plan, axis)
    reader, which = np.nonzero(cells.weight)
    source = cells.index[reader, which]
    order = np.argsort(source, kind="stable")
    return Nodes(
        (p, d, step),
        plan.grid_in[axis],
        low,
        (rest / d).astype(dtype),
        cells.index.copy(),
        cells.weight.astype(dtype),
        np.where(cells.inside, 0.0, 1.0 - cells.weight.sum(-1)).astype(dtype),
        np.searchsorted(source[order], np.arange(plan.window_in[axis] + 1)).astype(np.int32),
        reader[order],
        cells.weight[reader, which][order].astype(dtype),
    )
