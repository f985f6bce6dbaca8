"""Tables of the sparse Triton kernels: what a window reads, relative to its own place.

Moving a window moves the nodes that it reads alike, but for the phases of a fractional stride (see
:mod:`tensormask_torch._patches`). So neither kernel does arithmetic on the plan: a window's place
gives a phase, and a shift to add to all nodes.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tensormask_core.plan import Plan
from tensormask_core.taps import cell_taps
from tensormask_torch._patches import nodes_by_phase

Array = NDArray[Any]
TableT = TypeVar("TableT")  # numpy array or tensor


class Reads(NamedTuple):
    """What each of V_out cells of a window reads along (V, H) or (U, W), in P phases.

    Attributes:
        cell: (V_out, 2) int32.
        weight: (V_out, 2), of those cells.
        missing: (V_out,), the weight of cells beyond the window.
        node: (P, V_out) int64, the lower of two nodes.
        fraction: (P, V_out), the weight of the upper node.
    """

    cell: Tensor
    weight: Tensor
    missing: Tensor
    node: Tensor
    fraction: Tensor


class Readers(NamedTuple, Generic[TableT]):
    """Who reads each node of V cells, in P phases: at most E cells of a window.

    Attributes:
        first: (P, V) int64, the first node of each cell that is read.
        reader: (P, V, L, E) int32, cells of the window that read it and the L - 1 nodes after it.
        weight: (P, V, L, E), 0 where there are fewer.
    """

    first: TableT
    reader: TableT
    weight: TableT


class Place(NamedTuple):
    """How a window at node y is placed: shift ``p*y // d``, phase ``(p*y - d*shift) / step``."""

    p: int
    d: int
    step: int


def place_of(plan: Plan) -> Place:
    """Return how windows of a plan are placed."""
    p, _, d = plan.node_map
    return Place(p, d, math.gcd(p, d))


@lru_cache(maxsize=128)
def reads(plan: Plan, axis: int, dtype: torch.dtype, device: torch.device) -> Reads:
    """Return what windows read along (V, H) for ``axis`` 0 or (U, W) for 1."""
    cells = cell_taps(plan, axis)
    node, fraction = nodes_by_phase(plan, axis)
    missing = np.where(cells.inside, 0.0, 1.0 - cells.weight.sum(-1))
    tables = (cells.index.astype(np.int32), cells.weight, missing, node, fraction)
    return Reads(*(_tensor(table, dtype, device) for table in tables))


@lru_cache(maxsize=128)
def readers(plan: Plan, axis: int, dtype: torch.dtype, device: torch.device) -> Readers[Tensor]:
    """Return who reads along (V, H) for ``axis`` 0 or (U, W) for 1."""
    return Readers(*(_tensor(table, dtype, device) for table in reader_tables(plan, axis)))


@lru_cache(maxsize=128)
def reader_tables(plan: Plan, axis: int) -> Readers[Array]:
    """Return :func:`readers` as numpy arrays."""
    cells = cell_taps(plan, axis)
    low, fraction = nodes_by_phase(plan, axis)  # (P, V_out)
    nodes = np.stack((1 - fraction, fraction), -1)
    weight = cells.weight[:, :, None] * nodes[:, :, None, :]  # (P, V_out, 2 cells, 2 nodes)
    phase, reader = np.indices(low.shape)[:, :, :, None, None]
    node, cell = low[:, :, None, None] + np.arange(2), cells.index[:, :, None]
    entries = np.broadcast_arrays(phase, cell, node, reader, weight)
    phase, cell, node, reader, weight = (entry[weight != 0] for entry in entries)
    return _by_node(phase, cell, node, reader, weight, len(low), plan.window_in[axis])


def _by_node(
    phase: Array, cell: Array, node: Array, reader: Array, weight: Array, phases: int, cells: int
) -> Readers[Array]:
    """Return entries as tables."""
    line = phase * cells + cell
    first = np.full(phases * cells, np.iinfo(np.int64).max)
    np.minimum.at(first, line, node)
    first[np.bincount(line, minlength=len(first)) == 0] = 0
    along = node - first[line]
    length = int(along.max(initial=0)) + 1
    target = line * length + along
    order = np.argsort(target, kind="stable")
    target = target[order]
    count = np.bincount(target, minlength=len(first) * length)
    place = np.arange(len(target)) - (np.cumsum(count) - count)[target]
    shape = (len(count), max(1, int(count.max(initial=0))))
    who, share = np.zeros(shape, np.int32), np.zeros(shape)
    who[target, place], share[target, place] = reader[order], weight[order]
    split = (phases, cells, length, shape[1])
    return Readers(first.reshape(phases, cells), who.reshape(split), share.reshape(split))


def _tensor(table: Array, dtype: torch.dtype, device: torch.device) -> Tensor:
    kind = dtype if table.dtype.kind == "f" else None
    return torch.tensor(np.ascontiguousarray(table), dtype=kind, device=device)
