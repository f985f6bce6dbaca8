"""How far from a copy of its data are swap_align2nat and its adjoint?

Run `python benchmarks/bench_transform.py`; README.md describes the method. Time over lam, over
H x W, over dtype and over threads; the ratio is to the floor, a copy of as many bytes as input and
output have. Forward and adjoint are problems of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from _harness import Row, compare
from _machine import available_cores, set_threads
from _problem import Problem
from _results import Options, finish, parse_options
from _swap import backends, baselines, contenders

LAMS = (1, 2, 4, 8, 16, 32)
GRIDS = ((128, 128), (200, 304))  # of the sweep over lam
EXTENTS = ((25, 38), (50, 76), (100, 152), (200, 304), (400, 608))  # of the sweep over H x W
DTYPES = ("float16", "bfloat16", "float32", "float64")
LAM = 8  # of the sweeps over anything else
BATCH_ON_CUDA = 8
SLOW_UP_TO = 200 * 304  # nodes; on larger grids the slow baselines say nothing new
FEW = 3  # repeats of the slow ones


def forward_problems(options: Options) -> Iterator[Problem]:
    """Yield the problems of all sweeps, some of them in two."""
    if options.quick:
        base = Problem(lam=2, grid=(9, 12), window=(5, 5), device=options.device)
        yield from (base, replace(base, dtype="bfloat16"), replace(base, lam=4))
        return
    batch = 1 if options.device == "cpu" else BATCH_ON_CUDA
    base = Problem(lam=LAM, grid=GRIDS[0], batch=batch, device=options.device)
    for threads in options.threads:
        for grid in GRIDS:
            yield from (replace(base, lam=lam, grid=grid, threads=threads) for lam in LAMS)
    first = replace(base, threads=options.threads[0])
    yield from (replace(first, grid=grid) for grid in EXTENTS)
    yield from (replace(first, dtype=dtype) for dtype in DTYPES)
    if options.device == "cuda":  # the target there is of float32 and bfloat16
        half = replace(first, grid=GRIDS[1], dtype="bfloat16")
        yield from (replace(half, lam=lam) for lam in LAMS)


def problems(options: Options) -> Iterator[Problem]:
    """Yield every problem once, with its adjoint."""
    for problem in dict.fromkeys(forward_problems(options)):
        yield problem
        yield replace(problem, direction="adjoint")


def slow_take_part(problem: Problem, options: Options) -> bool:
    """Return whether the slow baselines are measured, which on a CPU are not at every problem."""
    if problem.device == "cuda" or options.quick:
        return True
    h, w = problem.grid
    telling = problem.lam == LAM or problem.grid == GRIDS[0]
    return telling and problem.threads == options.threads[0] and h * w <= SLOW_UP_TO


def measure(problem: Problem, options: Options) -> list[Row]:
    """Measure all contenders at one problem."""
    set_threads(problem.threads)
    slow = baselines(problem.device) if slow_take_part(problem, options) else []
    ways = [*backends(problem.device), *slow]
    found = contenders(problem, ways, FEW)
    return compare(problem.case, found, options.repeats, options.clock)


def main(arguments: Sequence[str] | None = None) -> None:
    all_threads = tuple(sorted({1, available_cores()}))
    options = parse_options(
        "transform", __doc__, arguments, devices=("cpu", "cuda"), threads=all_threads
    )
    rows = [row for problem in problems(options) for row in measure(problem, options)]
    finish(options, __doc__, rows)


if __name__ == "__main__":
    main()
