"""Who evaluates chosen windows, and how: our backends, and the dense form for comparison."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import cycle
from typing import Any

import numpy as np
from _arrays import check_agreement, copy_of, random_array, view_as
from _harness import Case, Contender, rotation
from _machine import cache_bytes
from _problem import ITEM_BYTES, PAD_LOGIT, Problem
from _swap import FLOOR, REFERENCE, Way, backends, bind_backend
from numpy.typing import NDArray

from tensormask_core import Aligned, get_backend, use_backend
from tensormask_core.plan import Plan
from tensormask_core.taps import cell_taps, node_taps
from tensormask_core.testing import to_numpy

Function = Callable[[Any], Any]

FEW = 3  # repeats of the reference and of the dense form
CHECKED = 20  # windows that are compared with the reference
REFERENCE_UP_TO = 100  # windows; it holds several arrays of 64 bits per cell


@dataclass(frozen=True)
class Sparse:
    """Some windows of a problem.

    Attributes:
        dense: the operator or adjoint, its extents and its dtype.
        count: K.
        with_dense: whether the dense form takes part.
    """

    dense: Problem
    count: int
    with_dense: bool = False

    @property
    def case(self) -> Case:
        """What tells the problem from others, for the result."""
        return {**self.dense.case, "K": self.count}

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array that the contenders get."""
        adjoint = self.dense.direction == "adjoint"
        return (self.count, *self.dense.plan.window_out) if adjoint else self.dense.shape

    @property
    def floor_bytes(self) -> int:
        """Bytes of an array whose copy moves what the operator must."""
        plan = self.dense.plan
        cells = self.count * math.prod(plan.window_out)
        if self.dense.direction == "adjoint":
            other = self.dense.batch * math.prod(plan.shape_in)
        else:
            other = self.count * math.prod(_samples_read(plan, axis) for axis in range(2))
        return (cells + other) * ITEM_BYTES[self.dense.dtype] // 2

    @property
    def index(self) -> NDArray[np.int64]:
        """(K, 3): batch, y, x of the windows."""
        extents = (self.dense.batch, *self.dense.plan.grid_out)
        return np.random.default_rng(0).integers(0, extents, (self.count, 3))


def contenders(sparse: Sparse) -> list[Contender]:
    """Return the floor, the backends, each found to be right, and the dense form."""
    problem = sparse.dense
    found = [Contender(FLOOR, copy_of(sparse.floor_bytes, problem.device, problem.threads))]
    arrays = _inputs(problem, sparse.shape)
    expected = _checked(REFERENCE, "numpy", sparse, _on_host(arrays[0]))
    ways = backends(problem.device)
    for name, library, few in [(way.name, way.library, None) for way in ways] + _reference(sparse):
        actual = _checked(name, library, sparse, arrays[0])
        check_agreement(name, actual, expected, problem.dtype)
        solve = bind_windows(name, sparse, _index_for(library, sparse, sparse.count))
        found.append(_contender(name, solve, [view_as(library, array) for array in arrays], few))
    return found + (_dense(ways[0], problem) if sparse.with_dense and ways else [])


def bind_windows(name: str, sparse: Sparse, index: Any) -> Function:
    """Return what evaluates the windows at ``index`` by the backend of that name."""
    problem, plan = sparse.dense, sparse.dense.plan
    if problem.direction == "adjoint":
        backend = get_backend(name)
        return lambda g: backend.windows_adjoint(g, plan, index, problem.batch)
    sigma_hw = problem.lam if problem.operator == "swap_align2nat" else 1

    def solve(x: Any) -> Any:
        with use_backend(name):
            masks = Aligned(x, sigma_vu=problem.lam, sigma_hw=1)
            return masks.windows(index, sigma_vu=1, sigma_hw=sigma_hw, pad_value=PAD_LOGIT)

    return solve


def _dense(way: Way, problem: Problem) -> list[Contender]:
    """Return the dense form by one backend."""
    inputs = [view_as(way.library, array) for array in _inputs(problem, problem.shape)]
    return [_contender(f"{way.name}, dense", bind_backend(way.name, problem), inputs, FEW)]


def _reference(sparse: Sparse) -> list[tuple[str, str, int | None]]:
    small = sparse.dense.device == "cpu" and sparse.count <= REFERENCE_UP_TO
    return [(REFERENCE, "numpy", FEW)] if small else []


def _contender(name: str, solve: Function, inputs: list[Any], repeats: int | None) -> Contender:
    turns = cycle(inputs)
    return Contender(name, lambda: solve(next(turns)), repeats)


def _checked(name: str, library: str, sparse: Sparse, array: Any) -> Any:
    """Return what a backend makes of the first windows."""
    adjoint = sparse.dense.direction == "adjoint"
    part = view_as(library, array[:CHECKED] if adjoint else array)
    return to_numpy(bind_windows(name, sparse, _index_for(library, sparse, CHECKED))(part))


def _inputs(problem: Problem, shape: tuple[int, ...]) -> list[Any]:
    make = partial(random_array, shape, problem.dtype, problem.device)
    nbytes = math.prod(shape) * ITEM_BYTES[problem.dtype]
    return rotation(make, nbytes, cache_bytes(problem.device))


def _index_for(library: str, sparse: Sparse, count: int) -> Any:
    index = sparse.index[:count]
    if sparse.dense.device == "cuda" and library != "numpy":
        return view_as(library, import_module("torch").from_numpy(index).cuda())
    return view_as(library, index)


def _on_host(array: Any) -> Any:
    return array.cpu().numpy() if hasattr(array, "cpu") else array


def _samples_read(plan: Plan, axis: int) -> int:
    """Return how many different samples a window in the middle reads along a pair of axes."""
    cells, middle = cell_taps(plan, axis), np.array([plan.grid_out[axis] // 2])
    nodes = node_taps(plan, axis, middle)
    sample = cells.index[:, :, None] * plan.grid_in[axis] + nodes.index[0][:, None, :]
    weight = cells.weight[:, :, None] * nodes.weight[0][:, None, :]
    return len(np.unique(sample[weight > 0]))
