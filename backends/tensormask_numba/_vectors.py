"""Instructions on vectors of samples, and rows of nodes taken apart into phases in registers.

A row that is read with a stride is a matrix (Q, stride), whose columns are its phases: a few
shuffles take blocks of it apart, or put them together. The compiler would take one sample at a
time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from llvmlite import ir
from numba.core import cgutils

WORD, LONG = ir.IntType(32), ir.IntType(64)
MANY, FEW = 8, 4  # phases or nodes of a block
_CONTRACT = ("contract",)  # a product and a sum may be rounded once


def arrays_of(context: Any, builder: Any, kinds: Any, values: Any) -> list[Any]:
    """Return the pointers to the samples of flat arrays."""
    pairs = zip(kinds, values, strict=True)
    return [context.make_array(kind)(context, builder, value).data for kind, value in pairs]


class Vectors:
    """Instructions on vectors of ``lanes`` samples."""

    def __init__(self, builder: Any, real: Any, lanes: int, align: int) -> None:
        self.builder, self.align, self.lanes = builder, align, lanes
        self.kind = ir.VectorType(real, lanes)
        self.zero = ir.Constant(self.kind, [0.0] * lanes)

    def load(self, data: Any, at: Any) -> Any:
        return self.builder.load(self._place(data, at, self.kind), align=self.align)

    def store(self, vector: Any, data: Any, at: Any, align: int | None = None) -> Any:
        place = self._place(data, at, vector.type)
        return self.builder.store(vector, place, align=align or self.align)

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


class Blocks:
    """The code of an intrinsic for ``length`` phases of ``width`` nodes, in blocks that fit.

    Arguments are tuples, the first of them of arrays. A subclass takes what it needs from
    ``arrays`` and ``groups``, sets ``length``, ``stride`` and ``width``, FEW at least, and does a
    block in ``generate``, which gets the block's phases and nodes, and whether the stride is
    ``phases``: then what the nodes read is one row.
    """

    length: Any
    stride: Any
    width: Any

    def __init__(self, context: Any, builder: Any, kinds: Any, values: Any) -> None:
        self.builder = builder
        arrays, *self.groups = (cgutils.unpack_tuple(builder, value) for value in values)
        self.arrays = arrays_of(context, builder, kinds[0], arrays)
        self.real = context.get_data_type(kinds[0][0].dtype)
        self.size = context.get_abi_sizeof(self.real)

    @classmethod
    def code(cls, context: Any, builder: Any, signature: Any, values: Any) -> Any:
        """Generate the code; this is what an intrinsic returns beside its signature."""
        cls(context, builder, signature.args, values)._of_any_kind()
        return context.get_dummy_value()

    def generate(self, phases: int, nodes: int, side_by_side: bool) -> None:
        """Do all nodes of all phases, those of the last block again where it overlaps another."""
        raise NotImplementedError

    def vectors_of(self, lanes: int) -> Vectors:
        return Vectors(self.builder, self.real, lanes, self.size)

    def cell(self, begin: Any, step: Any, first: Any, some: Any, k: int) -> Any:
        """Return where the k-th phase from ``first`` on begins, or the last that there is."""
        phase = self.least(LONG(k), self.builder.sub(some, LONG(1)))
        return self.builder.add(begin, self.builder.mul(self.builder.add(first, phase), step))

    def least(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)

    def steps(self, extent: Any, step: int) -> Any:
        return cgutils.for_range_slice(self.builder, LONG(0), extent, LONG(step), intp=LONG)

    @contextmanager
    def each(self, phases: int) -> Iterator[tuple[Any, Any]]:
        """Loop over blocks of phases: the first phase of each, and how many it has."""
        some = self.least(self.length, LONG(phases))
        last = self.builder.sub(self.length, some)
        with self.steps(self.length, phases) as (k, _):
            yield self.least(k, last), some

    def _of_any_kind(self) -> None:
        def of(nodes: int) -> None:
            few = partial(self.generate, FEW, nodes, False)
            self._either("<", self.length, MANY, few, partial(self.generate, MANY, nodes, False))

        def of_many() -> None:
            two, four = (partial(self.generate, k, MANY, True) for k in (2, 4))
            others = partial(self._either, "==", self.stride, 4, four, partial(of, MANY))
            self._either("==", self.stride, 2, two, others)

        self._either("<", self.width, MANY, partial(of, FEW), of_many)

    def _either(self, test: str, value: Any, limit: int, then: Any, otherwise: Any) -> None:
        condition = self.builder.icmp_unsigned(test, value, LONG(limit))
        with self.builder.if_else(condition) as (if_so, if_not):
            with if_so:
                then()
            with if_not:
                otherwise()
