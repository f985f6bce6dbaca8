"""Does assembling InstanceFCN's masks for some windows cost their share of assembling all?

Run `python benchmarks/bench_assemble.py`; README.md describes the method. 5 x 5 score maps of an
image of 600 x 800 px at stride 8, windows of 21 x 21 nodes. The baseline of a case is the dense
form by the same backend, so a ratio is to be compared with the case's share of windows. One window
takes what any call takes, 256 are trained (of 8 images in one of the cases), the others are
candidates for proposals. The adjoint's result is as large as the maps however few the windows are,
which is a fraction of 25 / 441 of the dense masks.

Input is cold, rotating so that no cache holds it, or warm: the same in every call, as maps are that
a convolution has just written. A case's `floor` is what a ratio cannot undercut where bytes take
the time: the cache lines of input that the windows read and the bytes that are written, over those
of the dense form; warm maps count as nothing. 64 windows already read most of the lines of the
maps, so few windows cost more than their share where the maps are cold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import cycle, product
from typing import Any

import numpy as np
from _arrays import check_agreement, random_array, view_as
from _harness import Case, Contender, Row, compare, rotation
from _machine import cache_bytes, set_threads
from _problem import ITEM_BYTES
from _results import Options, finish, parse_options
from _swap import REFERENCE, Function, Way, backends
from numpy.typing import NDArray

from tensormask_core import get_backend
from tensormask_core.backend import Backend
from tensormask_core.plan import ALIGNED_TO_NATURAL, Plan, make_plan
from tensormask_core.testing import to_numpy
from tensormask_core.units import Units

CELLS, NODES = 5, 21  # k and m
GRID, QUICK_GRID = (75, 100), (9, 12)
COUNTS, QUICK_COUNTS = (1, 64, 256, 1000, 2500, 7500), (5,)
BATCH, TRAINED = 8, 256  # images, and windows of each
LINE_BYTES = 64
FEW_WINDOWS = 256  # that the reference does at once
DTYPE = "float32"
FEW = 5  # repeats of the dense form


@dataclass(frozen=True, slots=True)
class Assembly:
    """Masks of some windows to assemble, or gradients to bring back.

    Attributes:
        direction: forward or adjoint.
        source: cold or warm input.
        batch: N, how many images.
        grid: H and W of the score maps.
        count: K, how many windows in all, as many of each image.
    """

    direction: str
    source: str
    batch: int
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
        nodes, each = self.grid[0] * self.grid[1], self.count // self.batch
        rng = np.random.default_rng(0)
        chosen = np.concatenate([rng.permutation(nodes)[:each] for _ in range(self.batch)])
        y, x = np.divmod(chosen, self.grid[1])
        return np.stack([np.repeat(np.arange(self.batch), each), y, x], axis=1)

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of the arrays that the dense and the sparse form get."""
        maps = (self.batch, *self.plan.shape_in)
        if self.direction == "forward":
            return maps, maps
        return (self.batch, *self.plan.shape_out), (self.count, NODES, NODES)

    @property
    def floor(self) -> float:
        """The bytes that the sparse form moves at least, over those of the dense form."""
        maps = ITEM_BYTES[DTYPE] * self.batch * int(np.prod(self.plan.shape_in))
        every = ITEM_BYTES[DTYPE] * self.batch * int(np.prod(self.plan.shape_out))
        some = ITEM_BYTES[DTYPE] * self.count * NODES**2
        if self.direction == "adjoint":
            return (some + maps) / (every + maps)
        if self.source == "warm":
            return some / every
        return (LINE_BYTES * lines_read(self) + some) / (maps + every)

    def case(self, way: Way, threads: int) -> Case:
        """What tells the problem from others, for the result."""
        height, width = self.grid
        share = self.count / (self.batch * height * width)
        return {
            "direction": self.direction, "input": self.source, "backend": way.name, "k": CELLS,
            "m": NODES, "N": self.batch, "H": height, "W": width, "threads": threads,
            "K": self.count, "share": round(share, 4), "floor": round(self.floor, 4),
        }  # fmt: skip


@cache
def lines_read(assembly: Assembly) -> int:
    """Return how many cache lines of the score maps the windows read."""
    read = np.zeros((assembly.batch, *assembly.plan.shape_in), bool)
    for index in np.array_split(assembly.index, -(-assembly.count // FEW_WINDOWS)):
        masks = np.ones((len(index), NODES, NODES), np.float32)
        read |= get_backend(REFERENCE).windows_adjoint(masks, assembly.plan, index, len(read)) > 0
    return len(np.unique(np.flatnonzero(read) * ITEM_BYTES[DTYPE] // LINE_BYTES))


def contenders(assembly: Assembly, way: Way, options: Options) -> list[Contender]:
    """Return the dense and the sparse form by one backend, found to agree."""
    dense, sparse = forms(assembly, way)
    _check(assembly, dense, sparse, way)
    inputs = (_inputs(shape, way.library, options.device) for shape in assembly.shapes)
    every, some = (cycle(arrays if assembly.source == "cold" else arrays[:1]) for arrays in inputs)
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
        lambda g: backend.windows_adjoint(g, plan, index, assembly.batch),
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
    """Yield the problems: the sweep over K, and a batch in training."""
    grid, counts = (QUICK_GRID, QUICK_COUNTS) if options.quick else (GRID, COUNTS)
    trained = min(TRAINED, max(counts))
    for direction, source in product(("forward", "adjoint"), ("cold", "warm")):
        for count in counts:
            yield Assembly(direction, source, 1, grid, count)
        yield Assembly(direction, source, BATCH, grid, BATCH * trained)


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
