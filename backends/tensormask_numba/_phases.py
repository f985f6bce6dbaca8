"""Cells that read nodes with a stride, blended and taken apart in vector registers.

Cell k of a run reads node ``q * stride + k`` at its own node q. Blocks of nodes are blended, taken
apart into the cells, their phases, and stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numba import njit, types, uintp
from numba.extending import intrinsic

from tensormask_numba._blend import INLINE
from tensormask_numba._vectors import FEW, LONG, Blocks, phases_of


class _Code(Blocks):
    """The code of :func:`blend_phases`, for blocks of one kind at a time."""

    def __init__(self, context: Any, builder: Any, kinds: Any, values: Any) -> None:
        super().__init__(context, builder, kinds, values)
        (self.to, self.step, self.length), source, self.scale, span = self.groups
        self.low, self.high, self.stride, *self.weights = source
        self.width, self.begin, self.end = span
        self.out, self.planes, self.table = self.arrays

    def generate(self, phases: int, nodes: int, side_by_side: bool) -> None:
        self.phases, self.nodes = phases, nodes
        lanes = nodes if side_by_side else phases
        self.vectors = self.vectors_of(lanes)
        self.count = phases * nodes // lanes
        self.hop = LONG(lanes) if side_by_side else self.stride
        with self.each(phases) as (first, some):
            single = self.builder.fcmp_ordered("==", self.scale[1], self.scale[1].type(0))
            with self.builder.if_else(single) as (one_tap, two_taps):
                with one_tap:
                    self._run(first, some, 1)
                with two_taps:
                    self._run(first, some, 2)

    def _run(self, first: Any, some: Any, taps: int) -> None:
        """Do the phases from ``first`` on, each of whose nodes blends ``taps`` of each row."""
        add, builder = self.builder.add, self.builder
        weights = [self.vectors.load(self.table, add(at, first)) for at in self.weights]
        if taps == 2:
            shares = [self.vectors.splat(share) for share in self.scale[:2]]
            weights = [builder.fmul(w, share) for w in weights for share in shares]
        bounds = [builder.sub(bound, first) for bound in (self.begin, self.end)]
        sources = [add(row, first) for row in (self.low, self.high)]
        rows = [self.cell(self.to, self.step, first, some, k) for k in range(self.phases)]
        reach = add(builder.mul(LONG(self.nodes - 1), self.stride), LONG(self.phases))
        with self.steps(self.width, self.nodes) as (q, _):
            node = self.least(q, builder.sub(self.width, LONG(self.nodes)))
            at = builder.mul(node, self.stride)
            inside = builder.and_(
                builder.icmp_signed(">=", at, bounds[0]),
                builder.icmp_signed("<=", add(at, reach), bounds[1]),
            )
            with builder.if_else(inside, likely=True) as (then, otherwise):
                with then:
                    self._store(rows, node, list(self._blend(at, sources, weights, taps)))
                with otherwise:
                    blended = self._blend(at, sources, weights, taps)
                    self._store(rows, node, list(self._padded(at, bounds, blended)))

    def _blend(self, at: Any, sources: list[Any], weights: list[Any], taps: int) -> Iterator[Any]:
        """Yield the vectors that are read from ``at`` on."""
        add = self.builder.add
        for _ in range(self.count):
            places = [add(add(source, at), LONG(tap)) for source in sources for tap in range(taps)]
            loaded = [self.vectors.load(self.planes, place) for place in places]
            yield self.vectors.weighted_sum(weights, loaded)
            at = add(at, self.hop)

    def _padded(self, at: Any, bounds: list[Any], blended: Iterator[Any]) -> Iterator[Any]:
        """Yield vectors with padding in the lanes that read outside."""
        pad = self.vectors.splat(self.scale[2])
        for vector in blended:
            yield self.builder.select(self.vectors.between(bounds, at), vector, pad)
            at = self.builder.add(at, self.hop)

    def _store(self, rows: list[Any], node: Any, blended: list[Any]) -> None:
        """Write the phases; from the last on, since those beyond a run lie on its last."""
        phases = phases_of(self.vectors, blended, self.phases)
        for row, phase in reversed(list(zip(rows, phases, strict=True))):
            self.vectors.store(phase, self.out, self.builder.add(row, node))


@intrinsic
def _in_blocks(typing_context, arrays, target, source, scale, span):
    return types.void(arrays, target, source, scale, span), _Code.code


@njit(**INLINE)
def _one_by_one(arrays, target, source, scale, span):
    """Do the same for a row of less than a block."""
    (out, planes, weight), (to, step, length) = arrays, target
    low, high, stride, w0, w1 = source
    s0, s1, pad = scale
    width, begin, end = span
    one = uintp(1)
    for k in range(length):
        for q in range(width):
            t, value = q * stride + k, pad
            if begin <= t < end:
                a, b = low + t, high + t
                value = weight[w0 + k] * (s0 * planes[a] + s1 * planes[a + one]) + weight[
                    w1 + k
                ] * (s0 * planes[b] + s1 * planes[b + one])
            out[to + k * step + q] = value


@njit(**INLINE)
def blend_phases(arrays, target, source, scale, span):
    """Write what a run of cells reads between two rows of nodes, padded outside.

    Args:
        arrays: the output, the rows' array and the weights' array, all flat.
        target: where the first cell's row begins, samples from one to the next, how many cells.
        source: where node 0 of both rows is, the stride, where the weights of both begin.
        scale: the weights of a node and of the one after it, and the padding.
        span: how many nodes a cell has, and the nodes from and to which anything is read.
    """
    if span[0] < uintp(FEW):
        _one_by_one(arrays, target, source, scale, span)
    else:
        _in_blocks(arrays, target, source, scale, span)
