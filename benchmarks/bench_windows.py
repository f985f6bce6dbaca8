"""Do chosen windows cost what they hold, whatever the grid they are taken from?

Run `python benchmarks/bench_windows.py`; README.md describes the method. Time and peak memory over
the number K of windows and over H x W, forward and adjoint, beside the dense form of the same
operator. The floor is a copy of as many bytes as the windows hold and distinct samples they read;
for the adjoint, whose result is as large as the dense input, of both gradients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from _harness import Row, compare
from _machine import set_threads
from _problem import Problem
from _results import Options, finish, parse_options
from _windows import Sparse, contenders

COUNTS = (1, 10, 30, 100, 300, 1000)
EXTENTS = ((50, 76), (100, 152), (200, 304), (400, 608))
COUNT, GRID, LAM = 100, (200, 304), 8  # of the sweeps over anything else


def problems(options: Options) -> Iterator[Sparse]:
    """Yield the problems of all sweeps; the dense form takes part in those of COUNT and GRID."""
    if options.quick:
        dense = Problem(lam=2, grid=(9, 12), window=(5, 5), device=options.device)
        yield from _both(Sparse(dense, count=3, with_dense=True))
        yield from _both(Sparse(replace(dense, operator="up_align2nat"), count=5))
        return
    threads = options.threads[0]
    swap = Problem(lam=LAM, grid=GRID, threads=threads, device=options.device)
    for count in COUNTS:
        yield from _both(Sparse(swap, count, with_dense=count == COUNT))
    for grid in EXTENTS:
        if grid != GRID:
            yield from _both(Sparse(replace(swap, grid=grid), COUNT))
    # The dense form of this one is lam^2 as large as its input; its adjoint adds nothing.
    yield Sparse(replace(swap, operator="up_align2nat"), COUNT, with_dense=True)


def measure(sparse: Sparse, options: Options) -> list[Row]:
    """Measure all contenders at one problem."""
    set_threads(sparse.dense.threads)
    found = contenders(sparse)
    return compare(sparse.case, found, options.repeats, options.clock, options.peak_bytes)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_options("windows", __doc__, arguments, devices=("cpu", "cuda"))
    rows = [row for sparse in problems(options) for row in measure(sparse, options)]
    finish(options, __doc__, rows)


def _both(sparse: Sparse) -> tuple[Sparse, Sparse]:
    return sparse, replace(sparse, dense=replace(sparse.dense, direction="adjoint"))


if __name__ == "__main__":
    main()
