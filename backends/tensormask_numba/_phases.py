"""Cells that read nodes with a stride, blended and taken apart in vector registers.

Cell k of a run reads node ``q * stride + k`` at its own node q: what a run reads is a matrix
(Q, stride), whose columns, the phases, are rows of the output. Blocks of it are blended, transposed
by a few shuffles and stored. The compiler would gather one sample at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from llvmlite import ir
from numba import njit, types, uintp
from numba.core import cgutils
from numba.extending import intrinsic

from tensormask_numba._blend import INLINE

_WORD, _LONG = ir.IntType(32), ir.IntType(64)
_CONTRACT = ("contract",)  # a product and a sum may be rounded once


class _Vectors:
    """Instructions on vectors of ``lanes`` samples."""

    def __init__(self, builder: Any, real: Any, lanes: int, align: int) -> None:
        self.builder, self.align, self.lanes = builder, align, lanes
        self.kind = ir.VectorType(real, lanes)

    def load(self, data: Any, at: Any) -> Any:
        return self.builder.load(self._place(data, at, self.kind), align=self.align)

    def store(self, vector: Any, data: Any, at: Any) -> None:
        self.builder.store(vector, self._place(data, at, vector.type), align=self.align)

    def splat(self, value: Any) -> Any:
        empty = ir.Constant(ir.VectorType(value.type, self.lanes), ir.Undefined)
        first = self.builder.insert_element(empty, value, _WORD(0))
        return self.shuffle(first, empty, [0] * self.lanes)

    def shuffle(self, first: Any, second: Any, order: Iterable[int]) -> Any:
        mask = ir.Constant(ir.VectorType(_WORD, len(lanes := list(order))), lanes)
        return self.builder.shuffle_vector(first, second, mask)

    def weighted_sum(self, weights: list[Any], vectors: list[Any]) -> Any:
        total, *terms = map(self._product, weights, vectors)
        for term in terms:
            total = self.builder.fadd(total, term, flags=_CONTRACT)
        return total

    def between(self, bounds: list[Any], first: Any) -> Any:
        """Return in which lanes ``first + lane`` lies from one bound to before the other."""
        begin, end = bounds
        steps = ir.Constant(ir.VectorType(_WORD, self.lanes), list(range(self.lanes)))
        place, extent = (
            self.splat(self.builder.trunc(self.builder.sub(far, begin), _WORD))
            for far in (first, end)
        )
        return self.builder.icmp_unsigned("<", self.builder.add(place, steps), extent)

    def _product(self, weight: Any, vector: Any) -> Any:
        return self.builder.fmul(weight, vector, flags=_CONTRACT)

    def _place(self, data: Any, at: Any, kind: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(data, [at]), kind.as_pointer())


def _phases_of(vectors: _Vectors, row: list[Any], phases: int) -> list[Any]:
    """Return every ``phases``-th sample of a row, from the first on, from the second on, ..."""
    lanes = row[0].type.count
    if phases == 1:
        return row if len(row) == 1 else [vectors.shuffle(row[0], row[1], range(2 * lanes))]
    pairs = list(zip(row[::2], row[1::2] or row, strict=True))
    extent = lanes * min(len(row), 2)
    even, odd = (
        _phases_of(
            vectors, [vectors.shuffle(*pair, range(k, extent, 2)) for pair in pairs], phases // 2
        )
        for k in range(2)
    )
    return [phase for pair in zip(even, odd, strict=True) for phase in pair]


class _Block:
    """The code of :func:`blend_phases` for so many phases and nodes at a time.

    ``side_by_side`` says that the stride is ``phases``: what the nodes read is one row.
    """

    def __init__(self, context: Any, builder: Any, kinds: Any, values: Any, shape: Any) -> None:
        self.builder = builder
        self.phases, self.nodes, side_by_side = shape
        groups = [cgutils.unpack_tuple(builder, value) for value in values]
        arrays, (self.to, self.step, self.length), source, self.scale, span = groups
        self.low, self.high, self.stride, *self.weights = source
        self.width, self.begin, self.end = span
        self.out, self.planes, self.table = (
            context.make_array(kind)(context, builder, array).data
            for kind, array in zip(kinds[0], arrays, strict=True)
        )
        dtype = kinds[0][0].dtype
        real = context.get_data_type(dtype)
        lanes = self.nodes if side_by_side else self.phases
        self.vectors = _Vectors(builder, real, lanes, context.get_abi_sizeof(real))
        self.count = self.phases * self.nodes // lanes
        self.hop = _LONG(lanes) if side_by_side else self.stride

    def generate(self) -> None:
        """Do all nodes of all phases, those of the last block again where it overlaps another."""
        some = self._least(self.length, _LONG(self.phases))
        last = self.builder.sub(self.length, some)
        with self._steps(self.length, self.phases) as (k, _):
            first = self._least(k, last)
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
        rows = [self._row(first, some, k) for k in range(self.phases)]
        reach = add(builder.mul(_LONG(self.nodes - 1), self.stride), _LONG(self.phases))
        with self._steps(self.width, self.nodes) as (q, _):
            node = self._least(q, builder.sub(self.width, _LONG(self.nodes)))
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
            places = [add(add(source, at), _LONG(tap)) for source in sources for tap in range(taps)]
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
        phases = _phases_of(self.vectors, blended, self.phases)
        for row, phase in reversed(list(zip(rows, phases, strict=True))):
            self.vectors.store(phase, self.out, self.builder.add(row, node))

    def _row(self, first: Any, some: Any, k: int) -> Any:
        """Return where the k-th phase from ``first`` on is written, or the last that there is."""
        phase = self._least(_LONG(k), self.builder.sub(some, _LONG(1)))
        return self.builder.add(
            self.to, self.builder.mul(self.builder.add(first, phase), self.step)
        )

    def _steps(self, extent: Any, step: int) -> Any:
        return cgutils.for_range_slice(self.builder, _LONG(0), extent, _LONG(step), intp=_LONG)

    def _least(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)


def _blend_phases(phases: int, nodes: int, side_by_side: bool = False) -> Any:
    """Return what blends a run of cells at all of their nodes, in blocks."""

    @intrinsic
    def blend_block(typing_context, arrays, target, source, scale, span):
        signature = types.void(arrays, target, source, scale, span)

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            shape = (phases, nodes, side_by_side)
            _Block(context, builder, signature.args, values, shape).generate()
            return context.get_dummy_value()

        return signature, generate

    return blend_block


_MANY, _FEW = 8, 4  # phases or nodes of a block
_twos = _blend_phases(2, _MANY, side_by_side=True)
_fours = _blend_phases(4, _MANY, side_by_side=True)
_many_of_many, _few_of_many = _blend_phases(_MANY, _MANY), _blend_phases(_FEW, _MANY)
_many_of_few, _few_of_few = _blend_phases(_MANY, _FEW), _blend_phases(_FEW, _FEW)


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
    length, stride, width = target[2], source[2], span[0]
    if width < uintp(_FEW):
        _one_by_one(arrays, target, source, scale, span)
    elif width < uintp(_MANY):
        if length < uintp(_MANY):
            _few_of_few(arrays, target, source, scale, span)
        else:
            _many_of_few(arrays, target, source, scale, span)
    elif stride == uintp(2):
        _twos(arrays, target, source, scale, span)
    elif stride == uintp(4):
        _fours(arrays, target, source, scale, span)
    elif length < uintp(_MANY):
        _few_of_many(arrays, target, source, scale, span)
    else:
        _many_of_many(arrays, target, source, scale, span)
