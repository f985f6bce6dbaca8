"""Who does swap_align2nat, and how: our backends and what else there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any

from _arrays import check_agreement, copy_of, first_image, random_array, view_as
from _harness import Contender, rotation
from _machine import cache_bytes
from _problem import PAD_LOGIT, Problem

from tensormask_core import available_backends, get_backend, ops, use_backend

Function = Callable[[Any], Any]

FLOOR = "copy"
REFERENCE = "numpy"
FAST_BACKENDS = {"cpu": ("numba", "torch"), "cuda": ("torch", "cupy", "numba")}
_LIBRARY_ON_CUDA = {"torch": "torch", "cupy": "cupy", "numba": "cupy"}
_LIBRARY_ON_CPU = {"torch": "torch", "numba": "numpy", "numpy": "numpy"}
# grid_sample's coordinates are rounded relative to the extent, not to the distance of samples.
_GRID_SAMPLE_SLACK = 10.0


@dataclass(frozen=True, slots=True)
class Way:
    """One way to do it.

    Attributes:
        name: as in the result.
        library: whose arrays it takes.
        bind: returns the function that solves a problem.
        dtypes: those it can do; None is all.
        few: whether it is so slow that few repeats must do.
        slack: factor on the tolerance.
    """

    name: str
    library: str
    bind: Callable[[Problem], Function]
    dtypes: tuple[str, ...] | None = None
    few: bool = False
    slack: float = 1.0


def backends(device: str) -> list[Way]:
    """Return the installed backends that are meant to be fast on a device."""
    libraries = _LIBRARY_ON_CPU if device == "cpu" else _LIBRARY_ON_CUDA
    installed = available_backends()
    return [
        Way(name, libraries[name], partial(bind_backend, name))
        for name in FAST_BACKENDS[device]
        if name in installed
    ]


def baselines(device: str) -> list[Way]:
    """Return what the backends are compared with, besides the floor."""
    wide = ("float32", "float64")
    stock = [
        Way("torch indexing", "torch", partial(_bind_torch, "swap_by_indexing"), few=True),
        Way(
            "torch grid_sample",
            "torch",
            partial(_bind_torch, "swap_by_grid_sample"),
            wide,
            few=True,
            slack=_GRID_SAMPLE_SLACK,
        ),
    ]
    if device == "cuda":
        return [Way("direct 16 taps", "cupy", _bind_direct_cuda, ("float32",), few=True), *stock]
    return [
        Way("direct 16 taps", "numpy", _bind_direct, wide, few=True),
        *stock,
        Way(REFERENCE, "numpy", partial(bind_backend, REFERENCE), few=True),
    ]


def contenders(problem: Problem, ways: list[Way], few: int) -> list[Contender]:
    """Return the floor and those of ``ways`` that can do the problem, each found to be right."""
    arrays = rotation(
        partial(random_array, problem.shape, problem.dtype, problem.device),
        problem.nbytes,
        cache_bytes(problem.device),
    )
    expected = reference(problem, arrays[0])
    floor = copy_of(problem.floor_bytes, problem.device, problem.threads)
    found = [Contender(FLOOR, floor)]
    for way in ways:
        if way.dtypes is None or problem.dtype in way.dtypes:
            solve, inputs = way.bind(problem), [view_as(way.library, array) for array in arrays]
            actual = first_image(solve(inputs[0]))
            check_agreement(way.name, actual, expected, problem.dtype, way.slack)
            turns = _in_turns(solve, cycle(inputs))
            found.append(Contender(way.name, turns, few if way.few else None))
    return found


def reference(problem: Problem, array: Any) -> Any:
    """Return what the reference backend makes of image 0."""
    solve = bind_backend(REFERENCE, problem)
    return first_image(solve(first_image(array)))


def bind_backend(name: str, problem: Problem) -> Function:
    """Return what solves a problem by the backend of that name, through the public API."""
    backend, plan = get_backend(name), problem.plan
    if problem.direction == "adjoint":
        return lambda g: backend.transform_adjoint(g, plan)
    operator = getattr(ops, problem.operator)

    def solve(x: Any) -> Any:
        with use_backend(name):
            return operator(x, problem.lam, pad_value=PAD_LOGIT)

    return solve


def _bind_direct(problem: Problem) -> Function:
    import _direct  # noqa: PLC0415  (needs numba)

    shape, lam = (problem.batch, *problem.plan.shape_in), problem.lam
    if problem.direction == "adjoint":
        return lambda g: _direct.swap_align2nat_adjoint(g, shape, lam)
    return lambda x: _direct.swap_align2nat(x, lam, PAD_LOGIT)


def _bind_direct_cuda(problem: Problem) -> Function:
    import _direct_cuda  # noqa: PLC0415  (needs cupy)

    shape, lam = (problem.batch, *problem.plan.shape_in), problem.lam
    if problem.direction == "adjoint":
        return lambda g: _direct_cuda.swap_align2nat_adjoint(g, shape, lam)
    return lambda x: _direct_cuda.swap_align2nat(x, lam, PAD_LOGIT)


def _bind_torch(name: str, problem: Problem) -> Function:
    import _stock_torch  # noqa: PLC0415  (needs torch)

    operator = getattr(_stock_torch, name)
    solve = partial(operator, lam=problem.lam, pad_value=PAD_LOGIT)
    if problem.direction == "forward":
        return solve
    shape = (problem.batch, *problem.plan.shape_in)
    example = view_as("torch", random_array(shape, problem.dtype, problem.device, 0))
    return _stock_torch.adjoint_of(solve, example)


def _in_turns(solve: Function, inputs: Iterator[Any]) -> Callable[[], Any]:
    return lambda: solve(next(inputs))
