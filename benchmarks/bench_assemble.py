"""Does assembling InstanceFCN's masks for some windows cost their share of assembling all?

Run `python benchmarks/bench_assemble.py`; README.md describes the method. 5 x 5 score maps of an
image of 600 x 800 px at stride 8, windows of 21 x 21 nodes. The baseline of a case is the dense
form by the same backend, so a ratio is to be compared with the case's share of windows. One window
takes what any call takes, 256 are trained, the others are candidates for proposals. 64 windows
already read most of the score maps. The adjoint's result is as large as these however few the
windows are, which is a fraction of 25 / 441 of the dense masks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
from _arrays import check_agreement, random_array, view_as
from _harness import Case, Contender, Row, compare, rotation
from _machine import cache_bytes, set_threads
from _problem import ITEM_BYTES
from _results import Options, finish, parse_options
from _swap import Function, Way, backends
from numpy.typing import NDArray

from tensormask_core import get_backend
from tensormask_core.backend import Backend
from tensormask_core.plan import ALIGNED_TO_NATURAL, Plan, make_plan
from tensormask_core.testing import to_numpy
from tensormask_core.units import Units

CELLS, NODES = 5, 21  # k and m
GRID, QUICK_GRID = (75, 100), (9, 12)
COUNTS, QUICK_COUNTS = (1, 64, 256, 1000, 2500, 7500), (5,)
DTYPE = "float32"
FEW = 5  # repeats of the dense form


@dataclass(frozen=True, slots=True)
class Assembly:
    """Masks of some windows to assemble, or gradients to bring back.

    Attributes:
        direction: forward or adjoint.
        grid: H and W of the score maps.
        count: K, how many windows.
    """

    direction: str
    grid: tuple[int, int]
    count: int

    @property
    def plan(self) -> Plan:
        """What the backends get."""
        units = Units(NODES / CELLS, 1), Units(1, 1)
        shape = (CELLS, CELLS, *self.grid)
        return make_plan(shape, *units, ALIGNED_TO_NATURAL, mode="nearest", vu_border="edge")

    @property
    def index(self) -> NDArray[np.int64]:
        """(K, 3) batch, y, x of windows, no two alike."""
        nodes = self.grid[0] * self.grid[1]
        chosen = np.random.default_rng(0).permutation(nodes)[: self.count]
        y, x = np.divmod(chosen, self.grid[1])
        return np.stack([np.zeros_like(y), y, x], axis=1)

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of the arrays that the dense and the sparse form get."""
        maps = (1, *self.plan.shape_in)
        if self.direction == "forward":
            return maps, maps
        return (1, *self.plan.shape_out), (self.count, NODES, NODES)

    def case(self, way: Way, threads: int) -> Case:
        """What tells the problem from others, for the result."""
        height, width = self.grid
        share = self.count / (height * width)
        return {
            "direction": self.direction, "backend": way.name, "k": CELLS, "m": NODES,
            "H": height, "W": width, "threads": threads, "K": self.count, "share": round(share, 4),
        }  # fmt: skip


def contenders(assembly: Assembly, way: Way, options: Options) -> list[Contender]:
    """Return the dense and the sparse form by one backend, found to agree."""
    dense, sparse = forms(assembly, way)
    _check(assembly, dense, sparse, way)
    every, some = (cycle(_inputs(shape, way.library, options.device)) for shape in assembly.shapes)
    return [
        Contender("dense", lambda: dense(next(every)), FEW),
        Contender("sparse", lambda: sparse(next(some))),
    ]


def forms(assembly: Assembly, way: Way) -> tuple[Function, Function]:
    """Return what does all windows, and what does those of ``assembly``."""
    backend: Backend[Any] = get_backend(way.name)
    plan, index = assembly.plan, view_as(way.library, assembly.index)
    if assembly.direction == "forward":
        return lambda x: backend.transform(x, plan), lambda x: backend.windows(x, plan, index)
    return (
        lambda g: backend.transform_adjoint(g, plan),
        lambda g: backend.windows_adjoint(g, plan, index, 1),
    )


def _inputs(shape: tuple[int, ...], library: str, device: str) -> list[Any]:
    make = partial(random_array, shape, DTYPE, device)
    nbytes = int(np.prod(shape)) * ITEM_BYTES[DTYPE]
    return [view_as(library, array) for array in rotation(make, nbytes, cache_bytes(device))]


def _check(assembly: Assembly, dense: Function, sparse: Function, way: Way) -> None:
    """Compare the sparse form with the dense one, fed with zeros for the other windows."""
    n, y, x = assembly.index.T
    every, some = (np.zeros(shape, np.float32) for shape in assembly.shapes)
    some[:] = random_array(some.shape, DTYPE, "cpu", 0)
    if assembly.direction == "forward":
        every = some
    else:
        every[n, :, :, y, x] = some
    expected = to_numpy(dense(view_as(way.library, every)))
    if assembly.direction == "forward":
        expected = expected[n, :, :, y, x]
    actual = to_numpy(sparse(view_as(way.library, some)))
    check_agreement(way.name, actual, expected, DTYPE)


def assemblies(options: Options) -> Iterator[Assembly]:
    """Yield the problems of the sweep over K."""
    grid, counts = (QUICK_GRID, QUICK_COUNTS) if options.quick else (GRID, COUNTS)
    for direction in ("forward", "adjoint"):
        for count in counts:
            yield Assembly(direction, grid, count)


def measure(assembly: Assembly, way: Way, options: Options, threads: int) -> list[Row]:
    """Measure both forms by one backend."""
    found = contenders(assembly, way, options)
    set_threads(threads)  # now that the backend has loaded its library
    case = assembly.case(way, threads)
    return compare(case, found, options.repeats, options.clock, options.peak_bytes)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_options("assemble", __doc__, arguments)
    rows = [
        row
        for threads in options.threads
        for way in backends(options.device)
        for assembly in assemblies(options)
        for row in measure(assembly, way, options, threads)
    ]
    finish(options, __doc__, rows)


if __name__ == "__main__":
    main()
