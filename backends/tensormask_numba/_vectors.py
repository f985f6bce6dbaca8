"""Instructions on vectors of samples, and rows of nodes taken apart into phases in registers.

A row that is read with a stride is a matrix (Q, stride), whose columns are its phases: a few
shuffles take blocks of it apart, or put them together. The compiler would take one sample at a
time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

WORD, LONG = ir.IntType(32), ir.IntType(64)
MANY, FEW = 8, 4  # phases or nodes of a block
_CONTRACT = ("contract",)  # a product and a sum may be rounded once


class Vectors:
    """Instructions on vectors of ``lanes`` samples."""

    def __init__(self, builder: Any, real: Any, lanes: int, align: int) -> None:
        self.builder, self.align, self.lanes = builder, align, lanes
        self.kind = ir.VectorType(real, lanes)
        self.zero = ir.Constant(self.kind, [0.0] * lanes)

    def load(self, data: Any, at: Any) -> Any:
        return self.builder.load(self._place(data, at, self.kind), align=self.align)

    def store(self, vector: Any, data: Any, at: Any) -> None:
        self.builder.store(vector, self._place(data, at, vector.type), align=self.align)

    def splat(self, value: Any) -> Any:
        empty = ir.Constant(ir.VectorType(value.type, self.lanes), ir.Undefined)
        first = self.builder.insert_element(empty, value, WORD(0))
        return self.shuffle(first, empty, [0] * self.lanes)

    def shuffle(self, first: Any, second: Any, order: Iterable[int]) -> Any:
        mask = ir.Constant(ir.VectorType(WORD, len(lanes := list(order))), lanes)
        return self.builder.shuffle_vector(first, second, mask)

    def weighted_sum(self, weights: list[Any], vectors: list[Any]) -> Any:
        total, *terms = map(self.product, weights, vectors)
        for term in terms:
            total = self.builder.fadd(total, term, flags=_CONTRACT)
        return total

    def between(self, bounds: list[Any], first: Any) -> Any:
        """Return in which lanes ``first + lane`` lies from one bound to before the other."""
        begin, end = bounds
        steps = ir.Constant(ir.VectorType(WORD, self.lanes), list(range(self.lanes)))
        place, extent = (
            self.splat(self.builder.trunc(self.builder.sub(far, begin), WORD))
            for far in (first, end)
        )
        return self.builder.icmp_unsigned("<", self.builder.add(place, steps), extent)

    def least(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)

    def steps(self, extent: Any, step: int) -> Any:
        return cgutils.for_range_slice(self.builder, LONG(0), extent, LONG(step), intp=LONG)

    def product(self, weight: Any, vector: Any) -> Any:
        return self.builder.fmul(weight, vector, flags=_CONTRACT)

    def _place(self, data: Any, at: Any, kind: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(data, [at]), kind.as_pointer())


def phases_of(vectors: Vectors, row: list[Any], phases: int) -> list[Any]:
    """Return every ``phases``-th sample of a row, from the first on, from the second on, ..."""
    lanes = row[0].type.count
    if phases == 1:
        return row if len(row) == 1 else [vectors.shuffle(row[0], row[1], range(2 * lanes))]
    pairs = list(zip(row[::2], row[1::2] or row, strict=True))
    extent = lanes * min(len(row), 2)
    even, odd = (
        phases_of(
            vectors, [vectors.shuffle(*pair, range(k, extent, 2)) for pair in pairs], phases // 2
        )
        for k in range(2)
    )
    return [phase for pair in zip(even, odd, strict=True) for phase in pair]


def row_of(vectors: Vectors, phases: list[Any]) -> list[Any]:
    """Return the row whose phases these are: the inverse of :func:`phases_of`."""
    if len(phases) == 1:
        return phases
    lanes = phases[0].type.count
    orders = [[i // 2 + i % 2 * lanes for i in range(h, h + lanes)] for h in (0, lanes)]
    pairs = zip(row_of(vectors, phases[::2]), row_of(vectors, phases[1::2]), strict=True)
    return [vectors.shuffle(*pair, order) for pair in pairs for order in orders]


def in_blocks(
    builder: Any, length: Any, stride: Any, width: Any, generate: Callable[..., None]
) -> None:
    """Generate code for ``length`` phases of ``width`` nodes, FEW at least, in blocks that fit.

    ``generate`` gets a block's phases and nodes, and whether the stride is ``phases``: then what
    the nodes read is one row.
    """

    def either(test: str, value: Any, limit: int, then: Any, otherwise: Any) -> None:
        condition = builder.icmp_unsigned(test, value, LONG(limit))
        with builder.if_else(condition) as (if_so, if_not):
            with if_so:
                then()
            with if_not:
                otherwise()

    def of(nodes: int) -> None:
        few, many = (lambda: generate(FEW, nodes, False)), (lambda: generate(MANY, nodes, False))
        either("<", length, MANY, few, many)

    def of_many() -> None:
        two, four = (lambda: generate(2, MANY, True)), (lambda: generate(4, MANY, True))
        either("==", stride, 2, two, lambda: either("==", stride, 4, four, lambda: of(MANY)))

    either("<", width, MANY, lambda: of(FEW), of_many)
