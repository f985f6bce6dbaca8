"""Let contenders take turns at the same work; README.md says why so.

The first contender of a case is its baseline: every row carries its ratio to it.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any, TypeVar

import numpy as np
from _measure import Call

T = TypeVar("T")
Case = Mapping[str, str | int | float]
Row = dict[str, Any]

# Inputs take turns too. Together they are this many caches large, so none is found in the cache.
_CACHES = 2
_MOST_INPUTS = 100  # tiny inputs stay in the cache whatever one does


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the work of a case.

    Attributes:
        name: who it is, the same in every case.
        call: does the work once, on the next of the rotating inputs, and returns the result.
        repeats: timed calls, for those that are too slow for as many as the others.
    """

    name: str
    call: Call
    repeats: int | None = None


def rotation(make: Callable[[int], T], nbytes: int, cache_bytes: int) -> list[T]:
    """Return ``make(0), make(1), ...`` of ``nbytes`` each, for contenders to cycle through.

    There are as many as it takes to be larger than the cache together, 2 to 100.
    """
    enough = -(-_CACHES * cache_bytes // max(nbytes, 1))
    count = min(max(2, enough), _MOST_INPUTS)
    return [make(seed) for seed in range(count)]


def rotating(make: Callable[[int], T], nbytes: int, cache_bytes: int) -> Iterator[T]:
    """Return an endless iterator over :func:`rotation`."""
    return cycle(rotation(make, nbytes, cache_bytes))


def seconds_in_turns(
    contenders: Sequence[Contender], repeats: int, clock: Callable[[Call], float]
) -> dict[str, list[float]]:
    """Return the times of each contender, all measured in the same rounds.

    A contender of fewer repeats sits out, evenly, so that drift hits all alike. Who goes first
    changes from round to round.
    """
    for contender in contenders:
        contender.call()  # the warm-up: compilers, caches of plans, allocators
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    with _no_garbage_collection():
        for turn in range(repeats):
            first = turn % len(contenders)
            for contender in [*contenders[first:], *contenders[:first]]:
                if _takes_part(turn, repeats, contender.repeats):
                    seconds[contender.name].append(clock(contender.call))
    return seconds


def compare(
    case: Case,
    contenders: Sequence[Contender],
    repeats: int,
    clock: Callable[[Call], float],
    peak_bytes: Callable[[Call], int] | None = None,
) -> list[Row]:
    """Measure the contenders of one case; the first is the baseline.

    Args:
        case: what all contenders do; the parameters that tell it from other cases.
        contenders: those to compare, of different names.
        repeats: timed calls of those that do not say otherwise.
        clock: the seconds of one call.
        peak_bytes: the memory of one call, measured after and apart from the times.

    Returns:
        One row of the result per contender; see schema.json.
    """
    print(*case.values(), "...", file=sys.stderr)
    seconds = seconds_in_turns(contenders, repeats, clock)
    baseline = float(np.median(seconds[contenders[0].name]))
    return [
        {
            "case": dict(case),
            "contender": contender.name,
            "seconds": quartiles(seconds[contender.name]),
            "ratio": float(np.median(seconds[contender.name])) / baseline,
            "peak_bytes": None if peak_bytes is None else peak_bytes(contender.call),
        }
        for contender in contenders
    ]


def quartiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return the median and the spread of times."""
    q1, median, q3 = (float(value) for value in np.quantile(seconds, (0.25, 0.5, 0.75)))
    return {"q1": q1, "median": median, "q3": q3, "repeats": len(seconds)}


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _takes_part(turn: int, repeats: int, wanted: int | None) -> bool:
    if wanted is None or wanted >= repeats:
        return True
    return (turn + 1) * wanted // repeats > turn * wanted // repeats
