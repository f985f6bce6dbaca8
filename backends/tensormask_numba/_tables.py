"""What the dense kernels read of a plan, as numpy tables: which samples are blended into which.

A :class:`Blend` is a sparse matrix by rows: output ``d`` sums ``weight[e] * source[e]`` over its
entries ``e``. Pairs (v, y) are numbered ``v * H + y``, pairs (u, x) ``u * W + x``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tensormask_core.plan import Plan
from tensormask_core.taps import Taps, cell_taps, grid_taps

Array = NDArray[Any]


class Blend(NamedTuple):
    """A sparse matrix, by rows.

    Attributes:
        start: (D + 1,) where each output's entries begin.
        source: (E,) the input that an entry reads.
        shift: (E,) how many nodes further along the row it reads, ascending for each output.
        weight: (E,) of the dtype to compute in.
        missing: (D,) the weight of what lies outside, exactly 0 where nothing does.
    """

    start: Array
    source: Array
    shift: Array
    weight: Array
    missing: Array

    @property
    def output(self) -> Array:
        """The output (E,) that each entry adds to."""
        return np.repeat(np.arange(len(self.missing)), np.diff(self.start))


class Rows(NamedTuple):
    """Pairs (v, y) of the output and of the input.

    Attributes:
        blend: the input rows that each output row reads, (V_out * H_out).
        spread: the output rows that each input row is read by, (V * H).
        run: (R + 1,) where each run of output cells between the same two input cells begins.
        low: (R,) the lower of these two cells, -1 before the first.
        reach: (V_out, 2) the output nodes y from and to which anything is read.
    """

    blend: Blend
    spread: Blend
    run: Array
    low: Array
    reach: Array


class Runs(NamedTuple):
    """Runs of output cells u between the same two input cells that read consecutive nodes.

    Cell ``u + k`` of a run at node x reads the input at ``t = x * s + k`` nodes from ``node``.

    Attributes:
        u: (R + 1,) where each run begins.
        cell: (R, 2) the input cells; U where there is none.
        node: (R,) the first node that is read.
        share: (R, 2) the weights of that node and of the one after it.
        weight: (2, U_out) the weights of the two input cells in each output cell.
    """

    u: Array
    cell: Array
    node: Array
    share: Array
    weight: Array


def whole_stride(plan: Plan) -> int:
    """Return the stride along x in input nodes, or 0 where it is a fraction."""
    p, _, d = plan.node_map
    return 0 if p % d else p // d


def rows_of(plan: Plan, dtype: np.dtype[Any]) -> Rows:
    """Return the tables of pairs (v, y)."""
    cells, nodes = cell_taps(plan, 0), grid_taps(plan, 0)
    blend = _pairs(plan, 0, dtype)
    low = _lower_cell(cells)
    first = np.flatnonzero(np.diff(low, prepend=-2))
    spread = _transposed(blend, plan.window_in[0] * plan.grid_in[0])
    reach = _reach(nodes.weight.sum(-1) > 0)
    return Rows(blend, spread, np.append(first, len(low)), low[first], reach)


def pairs_of(plan: Plan, dtype: np.dtype[Any]) -> tuple[Blend, Blend]:
    """Return what each output pair (u, x) reads and what each input pair is read by."""
    blend = _pairs(plan, 1, dtype)
    return blend, _transposed(blend, plan.window_in[1] * plan.grid_in[1])


def shifts_of(plan: Plan, dtype: np.dtype[Any]) -> tuple[Blend, Blend]:
    """Return the shifted rows u that each output row u reads and is read by, at stride 1."""
    cells = cell_taps(plan, 1)
    node, share = _nodes(plan)
    weight = (cells.weight[:, :, None] * share[:, None, :]).reshape(-1, 4)
    source = np.repeat(cells.index, 2, axis=1)
    shift = np.tile(np.stack((node, node + 1), -1), 2)
    blend = _blend(source, shift, weight, cells.inside, dtype)
    return blend, _transposed(blend, plan.window_in[1])


def runs_of(plan: Plan, dtype: np.dtype[Any], longest: int) -> Runs:
    """Return the runs of at most ``longest`` output cells of a plan with a whole stride."""
    cells = cell_taps(plan, 1)
    node, share = _nodes(plan)
    low = _lower_cell(cells)
    begins = (np.diff(low, prepend=-2) != 0) | (np.diff(node, prepend=node[:1]) != 1)
    begins |= np.diff(share[:, 1], prepend=-1) != 0
    first = _at_most(longest, np.flatnonzero(begins), len(low))
    cell = np.stack((low, low + 1), -1)[first]
    cell[(cell < 0) | (cell >= plan.window_in[1])] = plan.window_in[1]
    upper = _upper_weight(cells)
    weight = np.stack((1 - upper, upper)).astype(dtype)
    return Runs(np.append(first, len(low)), cell, node[first], share[first].astype(dtype), weight)


def ranges_of(start: Array, value: Array) -> Array:
    """Return, (D, 2), the least and the greatest + 1 of each output's entries, 0 without any."""
    ranges = np.zeros((len(start) - 1, 2), np.int64)
    some = np.diff(start) > 0
    if some.any():
        ranges[some, 0] = np.minimum.reduceat(value, start[:-1][some])
        ranges[some, 1] = np.maximum.reduceat(value, start[:-1][some]) + 1
    return ranges


def _pairs(plan: Plan, axis: int, dtype: np.dtype[Any]) -> Blend:
    """Return what each pair of an output cell and node reads along one pair of axes."""
    cells, nodes = cell_taps(plan, axis), grid_taps(plan, axis)
    extent = plan.grid_in[axis]
    source = cells.index[:, None, :, None] * extent + nodes.index.swapaxes(0, 1)[:, :, None, :]
    weight = cells.weight[:, None, :, None] * nodes.weight.swapaxes(0, 1)[:, :, None, :]
    inside = (cells.inside[:, None] & nodes.inside.T).ravel()
    source = source.reshape(-1, 4)
    return _blend(source, np.zeros_like(source), weight.reshape(-1, 4), inside, dtype)


def _blend(
    source: Array, shift: Array, weight: Array, inside: Array, dtype: np.dtype[Any]
) -> Blend:
    """Return the entries of weight above 0 of tables (D, 4)."""
    kept = weight > 0
    start = np.append(0, np.cumsum(kept.sum(-1)))
    missing = np.where(inside, 0.0, 1.0 - weight.sum(-1)).astype(dtype)
    blend = Blend(start, source[kept], shift[kept], weight[kept].astype(dtype), missing)
    return _sorted(blend, blend.output)


def _transposed(blend: Blend, extent: int) -> Blend:
    """Return the matrix that takes outputs back to ``extent`` inputs."""
    start = np.append(0, np.cumsum(np.bincount(blend.source, minlength=extent)))
    missing = np.zeros(extent, blend.weight.dtype)
    back = Blend(start, blend.output, -blend.shift, blend.weight, missing)
    return _sorted(back, blend.source)


def _sorted(blend: Blend, output: Array) -> Blend:
    """Return the entries in the order of outputs, and of shifts for each output."""
    order = np.lexsort((blend.shift, output))
    source, shift, weight = (table[order] for table in blend[1:4])
    return Blend(blend.start, source, shift, weight, blend.missing)


def _nodes(plan: Plan) -> tuple[Array, Array]:
    """Return the node (U_out,) that each cell reads at x = 0 and the weights of it and the next."""
    _, q, d = plan.node_map
    extent = plan.window_out[1]
    node, rest = np.divmod(q * (2 * np.arange(extent) - (extent - 1)), d)
    return node, np.stack((1 - rest / d, rest / d), -1)


def _lower_cell(cells: Taps) -> Array:
    """Return the lower of the two cells that each output cell lies between, -1 before the first."""
    return np.where(cells.weight[:, 0] > 0, cells.index[:, 0], cells.index[:, 1] - 1)


def _upper_weight(cells: Taps) -> Array:
    """Return the weight of the cell above that one, whether there is one or not."""
    return np.where(cells.weight[:, 0] > 0, 1 - cells.weight[:, 0], cells.weight[:, 1])


def _at_most(length: int, first: Array, extent: int) -> Array:
    """Return the starts of runs, longer runs being split."""
    stops = np.append(first[1:], extent)
    return np.concatenate([np.arange(a, b, length) for a, b in zip(first, stops, strict=True)])


def _reach(read: Array) -> Array:
    """Return the first and the last + 1 of the nodes (H_out, V_out) that read anything."""
    nodes, cells = read.shape
    reach = np.zeros((cells, 2), np.int64)
    some = read.any(0)
    reach[some, 0] = read.argmax(0)[some]
    reach[some, 1] = nodes - read[::-1].argmax(0)[some]
    return reach
