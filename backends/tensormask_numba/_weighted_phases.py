"""The adjoint of :mod:`tensormask_numba._phases`: cells are put together as two rows of nodes.

Both rows hold what the cells hold, with the weights of the input cells below and above.
"""

from __future__ import annotations

from typing import Any

from numba import njit, types, uintp
from numba.core import cgutils
from numba.extending import intrinsic

from tensormask_numba._blend import INLINE
from tensormask_numba._vectors import FEW, LONG, Vectors, in_blocks, row_of


class _Code:
    """The code of :func:`weigh_phases`, for blocks of one kind at a time."""

    def __init__(self, context: Any, builder: Any, kinds: Any, values: Any) -> None:
        self.builder = builder
        arrays, source, target = (cgutils.unpack_tuple(builder, value) for value in values)
        self.at, self.step, self.length, self.width = source
        low, high, self.stride, *self.weights = target
        self.rows = (low, high)
        self.source, self.out, self.table = (
            context.make_array(kind)(context, builder, array).data
            for kind, array in zip(kinds[0], arrays, strict=True)
        )
        self.real = context.get_data_type(kinds[0][0].dtype)
        self.size = context.get_abi_sizeof(self.real)

    def generate(self, phases: int, nodes: int, side_by_side: bool) -> None:
        """Do all nodes of all phases, those of the last block again where it overlaps another."""
        self.phases = phases
        self.cells = Vectors(self.builder, self.real, nodes, self.size)
        lanes = nodes if side_by_side else min(phases, nodes)
        self.nodes = Vectors(self.builder, self.real, lanes, self.size)
        some = self.cells.least(self.length, LONG(phases))
        last = self.builder.sub(self.length, some)
        with self.cells.steps(self.length, phases) as (k, _):
            self._run(self.cells.least(k, last), some)

    def _run(self, first: Any, some: Any) -> None:
        """Do the phases from ``first`` on, of which there are ``some``."""
        add, builder, lanes = self.builder.add, self.builder, self.nodes.lanes
        weights = [
            [self.nodes.load(self.table, add(add(at, first), LONG(k))) for at in self.weights]
            for k in range(0, self.phases, lanes)
        ]
        cells = [self._cell(first, some, k) for k in range(self.phases)]
        with self.cells.steps(self.width, self.cells.lanes) as (q, _):
            node = self.cells.least(q, builder.sub(self.width, LONG(self.cells.lanes)))
            row = row_of(self.cells, [self._load(*cell, node) for cell in cells])
            to = add(builder.mul(node, self.stride), first)
            for i, vector in enumerate(self._pieces(row)):
                node, k = divmod(i * lanes, self.phases)
                at = add(add(to, builder.mul(LONG(node), self.stride)), LONG(k))
                for base, weight in zip(self.rows, weights[k // lanes], strict=True):
                    self.nodes.store(self.nodes.product(weight, vector), self.out, add(base, at))

    def _cell(self, first: Any, some: Any, k: int) -> tuple[Any, Any]:
        """Return whether there is a k-th phase from ``first`` on, and where it begins."""
        builder = self.builder
        phase = self.cells.least(LONG(k), builder.sub(some, LONG(1)))
        begin = builder.add(self.at, builder.mul(builder.add(first, phase), self.step))
        return builder.icmp_signed("<", LONG(k), some), begin

    def _load(self, exists: Any, begin: Any, node: Any) -> Any:
        vector = self.cells.load(self.source, self.builder.add(begin, node))
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
    signature = types.void(arrays, source, target)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = _Code(context, builder, signature.args, values)
        in_blocks(builder, code.length, code.stride, code.width, code.generate)
        return context.get_dummy_value()

    return signature, generate


@njit(**INLINE)
def _one_by_one(arrays, source, target):
    """Do the same for less than a block."""
    (g, rows, weight), (at, step, length, width) = arrays, source
    low, high, stride, w0, w1 = target
    for k in range(length):
        for q in range(width):
            value, t = g[at + k * step + q], q * stride + k
            rows[low + t] = weight[w0 + k] * value
            rows[high + t] = weight[w1 + k] * value


@njit(**INLINE)
def weigh_phases(arrays, source, target):
    """Write what a run of cells holds to two rows of nodes, each with weights of its own.

    Args:
        arrays: what holds the cells, the rows and the weights, all flat.
        source: where the first cell begins, samples from one to the next, how many cells and nodes.
        target: where node 0 of both rows is, the stride, where the weights of both begin.
    """
    if source[3] < uintp(FEW):
        _one_by_one(arrays, source, target)
    else:
        _in_blocks(arrays, source, target)
