"""The one transform by its definition: loops over outputs and over the samples each of them reads.

Nothing is shared with the plans, tables and backends that are checked against it: coordinates are
derived from units, in fractions, one sample at a time. Slow by design.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import product

import numpy as np
from numpy.typing import NDArray

from tensormask_core.testing.case import Case, Values

# The weight of a sample and its place along one pair of axes; None is outside the input.
Read = tuple[float, tuple[int, int] | None]
Reads = dict[tuple[int, int], list[Read]]


def transform(x: Values, case: Case) -> Values:
    """Return the output (N, V', U', H', W') of ``x`` (N, V, U, H, W).

    Example:
        >>> from tensormask_core import Units
        >>> case = Case((3, 1), (3, 1), Units(1, 1), Units(1, 1), pad_value=9)
        >>> transform(np.arange(9.0).reshape(1, 3, 1, 3, 1), case)[0, :, 0, :, 0]
        array([[9., 0., 1.],
               [3., 4., 5.],
               [7., 8., 9.]])
    """
    (v_out, h_out), (u_out, w_out) = _extents_out(case)
    rows, columns = (_reads(case, axis, _nodes(case, axis)) for axis in (0, 1))
    out = np.zeros((case.batch, v_out, u_out, h_out, w_out))
    for n, v, u, y, k in _places(out.shape):
        out[n, v, u, y, k] = _value(x[n], rows[v, y], columns[u, k], case.pad_value)
    return out


def transform_adjoint(g: Values, case: Case) -> Values:
    """Return the transpose of :func:`transform` without padding: ``g`` goes where it came from."""
    rows, columns = (_reads(case, axis, _nodes(case, axis)) for axis in (0, 1))
    out = np.zeros((case.batch, *case.window, *case.grid))
    for n, v, u, y, k in _places(g.shape):
        _give_back(out[n], float(g[n, v, u, y, k]), rows[v, y], columns[u, k])
    return out


def windows(x: Values, case: Case, index: NDArray[np.int64]) -> Values:
    """Return the (K, V', U') windows at ``index``: batch, y, x; y and x inside the grid or not."""
    rows, columns = (_reads(case, axis, index[:, 1 + axis]) for axis in (0, 1))
    out = np.zeros((len(index), *(extents[0] for extents in _extents_out(case))))
    for k, v, u in _places(out.shape):
        n, y, x_node = (int(i) for i in index[k])
        out[k, v, u] = _value(x[n], rows[v, y], columns[u, x_node], case.pad_value)
    return out


def windows_adjoint(g: Values, case: Case, index: NDArray[np.int64]) -> Values:
    """Return the transpose of :func:`windows` without padding: (N, V, U, H, W)."""
    rows, columns = (_reads(case, axis, index[:, 1 + axis]) for axis in (0, 1))
    out = np.zeros((case.batch, *case.window, *case.grid))
    for k, v, u in _places(g.shape):
        n, y, x_node = (int(i) for i in index[k])
        _give_back(out[n], float(g[k, v, u]), rows[v, y], columns[u, x_node])
    return out


def _value(image: Values, down: list[Read], across: list[Read], pad_value: float) -> float:
    """Sum the 16 samples that one output reads."""
    total = 0.0
    for (y_weight, row), (x_weight, column) in product(down, across):
        value = pad_value
        if row is not None and column is not None:
            value = float(image[row[0], column[0], row[1], column[1]])
        total += y_weight * x_weight * value
    return total


def _give_back(image: Values, value: float, down: list[Read], across: list[Read]) -> None:
    """Add ``value`` to the samples that one output read."""
    for (y_weight, row), (x_weight, column) in product(down, across):
        if row is not None and column is not None:
            image[row[0], column[0], row[1], column[1]] += y_weight * x_weight * value


def _reads(case: Case, axis: int, nodes: NDArray[np.int64]) -> Reads:
    """Return what each output (cell, node) of a pair of axes, (V, H) or (U, W), reads."""
    cells = range(_extents_out(case)[axis][0])
    return {(i, r): list(_pair_reads(case, axis, i, r)) for i in cells for r in map(int, nodes)}


def _pair_reads(case: Case, axis: int, cell: int, node: int) -> Iterator[Read]:
    tau_vu, tau_hw = Fraction(case.units_in.sigma_vu), Fraction(case.units_in.sigma_hw)
    sigma_vu, sigma_hw = Fraction(case.units_out.sigma_vu), Fraction(case.units_out.sigma_hw)
    v = cell - Fraction(_extents_out(case)[axis][0] - 1, 2)
    v_in = sigma_vu / tau_vu * v + Fraction(case.window[axis] - 1, 2)
    y_in = sigma_hw / tau_hw * node + case.direction * sigma_vu / tau_hw * v
    extents = case.window[axis], case.grid[axis]
    for (i, cell_weight), (r, node_weight) in product(_cells(case, axis, v_in), _linear(y_in)):
        inside = 0 <= i < extents[0] and 0 <= r < extents[1]
        yield float(cell_weight * node_weight), (i, r) if inside else None


def _cells(case: Case, axis: int, v_in: Fraction) -> list[tuple[int, Fraction]]:
    if case.vu_border == "edge":
        v_in = min(max(v_in, Fraction(0)), Fraction(case.window[axis] - 1))
    if case.mode == "nearest":
        return [(math.floor(v_in + Fraction(1, 2)), Fraction(1))]
    return _linear(v_in)


def _linear(position: Fraction) -> list[tuple[int, Fraction]]:
    """Return the neighbours of a position with a weight above 0."""
    low = math.floor(position)
    neighbours = [(low, 1 - (position - low)), (low + 1, position - low)]
    return [(i, weight) for i, weight in neighbours if weight > 0]


def _extents_out(case: Case) -> list[tuple[int, int]]:
    """Return (V', H') and (U', W')."""
    finer = Fraction(case.units_in.sigma_vu) / Fraction(case.units_out.sigma_vu)
    denser = Fraction(case.units_in.sigma_hw) / Fraction(case.units_out.sigma_hw)
    return [
        (int(cells * finer), math.ceil(nodes * denser))
        for cells, nodes in zip(case.window, case.grid, strict=True)
    ]


def _nodes(case: Case, axis: int) -> NDArray[np.int64]:
    return np.arange(_extents_out(case)[axis][1])


def _places(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return product(*map(range, shape))
