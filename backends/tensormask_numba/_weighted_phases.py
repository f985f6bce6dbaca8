"""The adjoint of :mod:`tensormask_numba._phases`: cells are put together as two rows of nodes.

Both rows hold what the cells hold, with the weights of the input cells below and above.
"""

from __future__ import annotations

from typing import Any

from numba import njit, types, uintp
from numba.extending import intrinsic

from tensormask_numba._blend import INLINE
from tensormask_numba._vectors import FEW, LONG, Blocks, row_of


class _Code(Blocks):
    """The code of :func:`weigh_phases`, for blocks of one kind at a time."""

    def __init__(self, context: Any, builder: Any, kinds: Any, values: Any) -> None:
        super().__init__(context, builder, kinds, values)
        (self.at, self.step, self.length, self.width, self.count), target = self.groups
        low, high, self.pitch, self.stride, *self.weights = target
        self.rows = (low, high)
        self.source, self.out, self.table = self.arrays

    def generate(self, phases: int, nodes: int, side_by_side: bool) -> None:
        self.phases, self.cells = phases, self.vectors_of(nodes)
        self.nodes = self.vectors_of(nodes if side_by_side else min(phases, nodes))
        with self.each(phases) as (first, some):
            self._run(first, some)

    def _run(self, first: Any, some: Any) -> None:
        """Do the phases from ``first`` on, of which there are ``some``."""
        add, builder, lanes = self.builder.add, self.builder, self.nodes.lanes
        weights = [
            [self.nodes.load(self.table, add(add(at, first), LONG(k))) for at in self.weights]
            for k in range(0, self.phases, lanes)
        ]
        cells = [
            (
                builder.icmp_signed("<", LONG(k), some),
                self.cell(self.at, self.step, first, some, k),
            )
            for k in range(self.phases)
        ]
        with (
            self.steps(self.count, 1) as (y, _),
            self.steps(self.width, self.cells.lanes) as (q, _),
        ):
            node = self.least(q, builder.sub(self.width, LONG(self.cells.lanes)))
            place = add(builder.mul(y, self.width), node)
            row = row_of(self.cells, [self._load(*cell, place) for cell in cells])
            to = add(builder.mul(y, self.pitch), add(builder.mul(node, self.stride), first))
            for i, vector in enumerate(self._pieces(row)):
                node, k = divmod(i * lanes, self.phases)
                at = add(add(to, builder.mul(LONG(node), self.stride)), LONG(k))
                for base, weight in zip(self.rows, weights[k // lanes], strict=True):
                    self.nodes.store(self.nodes.product(weight, vector), self.out, add(base, at))

    def _load(self, exists: Any, begin: Any, place: Any) -> Any:
        """Return the nodes of a cell from ``place`` on, zeros if there is no such cell."""
        vector = self.cells.load(self.source, self.builder.add(begin, place))
        return self.builder.select(exists, vector, self.cells.zero)

    def _pieces(self, row: list[Any]) -> list[Any]:
        """Return the row in vectors, each of one node where nodes are not side by side."""
        lanes = self.nodes.lanes
        if lanes == self.cells.lanes:
            return row
        halves = (range(lanes), range(lanes, 2 * lanes))
        return [self.cells.shuffle(vector, vector, half) for vector in row for half in halves]


@intrinsic
def _in_blocks(typing_context, arrays, source, target):
    return types.void(arrays, source, target), _Code.code


@njit(**INLINE)
def _one_by_one(arrays, source, target):
    """Do the same for rows of less than a block."""
    (g, rows, weight), (at, step, length, width, count) = arrays, source
    low, high, pitch, stride, w0, w1 = target
    for y in range(count):
        for k in range(length):
            for q in range(width):
                value, t = g[at + k * step + y * width + q], y * pitch + q * stride + k
                rows[low + t] = weight[w0 + k] * value
                rows[high + t] = weight[w1 + k] * value


@njit(**INLINE)
def weigh_phases(arrays, source, target):
    """Write what a run of cells holds to rows of nodes, twice, each with weights of its own.

    Args:
        arrays: what holds the cells, the rows and the weights, all flat.
        source: where the first cell begins, samples from one to the next, how many cells, their
            nodes in a row and their rows.
        target: where node 0 of the first row is in both, samples from one row to the next, the
            stride, where the weights of both begin.
    """
    if source[3] < uintp(FEW):
        _one_by_one(arrays, source, target)
    else:
        _in_blocks(arrays, source, target)
