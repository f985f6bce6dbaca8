"""Is the RLE of 100 window masks on a 1200 x 1800 image there before they could be pasted?

Run `python benchmarks/bench_masks.py`; README.md describes the method.
Contenders turn the same windows into the same RLE, which is checked: pasting all onto images and
encoding these (the baseline), the same one window at a time, the core's array path, and the
compiled kernel. Pasting is compiled too in the baseline, so that only the way differs. Boxes are
log-uniform from 16 to 800 px and may leave the image; windows are blobs, as a network gives them,
or noise, the worst case: there every stretch of pixels crosses the threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from _harness import Contender, Row, compare
from _machine import set_threads
from _results import Options, finish, parse_options
from numpy.typing import NDArray

from tensormask_core.masks import encode
from tensormask_core.masks.rle import encode_regions
from tensormask_numba import _masks

THRESHOLD = 0.5
LEAST_PX, MOST_PX = 16.0, 800.0
SEEDS = (0, 1, 2)  # inputs that take turns; that they are small is part of the work
SLOW_REPEATS = 5  # half a second each

Array = NDArray[Any]
Windows = tuple[Array, Array, tuple[int, int]]  # values, boxes, image size
Rles = list[dict[str, Any]]


def random_windows(count: int, cells: int, kind: str, size: tuple[int, int], seed: int) -> Windows:
    """Windows of float32 probabilities at boxes anywhere, partly outside the image."""
    rng = np.random.default_rng(seed)
    sides = np.exp(rng.uniform(np.log(LEAST_PX), np.log(MOST_PX), (count, 2)))
    low = rng.uniform(-0.25, 0.75, (count, 2)) * sides + rng.uniform(size=(count, 2)) * (
        np.array(size[::-1]) - sides
    )
    values = {"blobs": _blobs, "noise": _noise}[kind](rng, count, cells)
    return values.astype(np.float32), np.concatenate([low, low + sides], axis=1), size


def _blobs(rng: np.random.Generator, count: int, cells: int) -> Array:
    """Smooth shapes of several waves around the centre."""
    at = (np.arange(cells) + 0.5) / cells * 2 - 1
    y, x = at[:, None], at[None, :]
    phase, waves = rng.uniform(0, 2 * np.pi, (count, 1, 1)), rng.integers(1, 6, (count, 1, 1))
    radius = 0.65 + 0.2 * np.sin(waves * np.arctan2(y, x) + phase)
    return 1 / (1 + np.exp(-12 * (radius - np.hypot(y, x))))


def _noise(rng: np.random.Generator, count: int, cells: int) -> Array:
    return rng.random((count, cells, cells))


def paste_then_encode(values: Array, boxes: Array, size: tuple[int, int]) -> Rles:
    return encode(_masks.paste(values, boxes, size, THRESHOLD))


def paste_and_encode_each(values: Array, boxes: Array, size: tuple[int, int]) -> Rles:
    rles: Rles = []
    for k in range(len(values)):
        rles += encode(_masks.paste(values[k : k + 1], boxes[k : k + 1], size, THRESHOLD))
    return rles


def core_runs(values: Array, boxes: Array, size: tuple[int, int]) -> Rles:
    return encode_regions(values, boxes, size, THRESHOLD)


def compiled_runs(values: Array, boxes: Array, size: tuple[int, int]) -> Rles:
    counts = _masks.encode(values, boxes, size, THRESHOLD)
    return [{"size": list(size), "counts": packed} for packed in counts]


WAYS: dict[str, tuple[Callable[..., Rles], int | None]] = {
    "paste, then encode": (paste_then_encode, SLOW_REPEATS),
    "paste, encode one by one": (paste_and_encode_each, SLOW_REPEATS),
    "core, array path": (core_runs, None),
    "compiled runs": (compiled_runs, None),
}


def check_same(windows: Windows, what: object) -> None:
    """Refuse to compare ways that disagree."""
    expected, *others = (way(*windows) for way, _ in WAYS.values())
    if any(found != expected for found in others):
        raise RuntimeError(f"the ways give different RLEs for {what}")


def in_turn(way: Callable[..., Rles], inputs: Sequence[Windows]) -> Callable[[], Rles]:
    """Return a call of `way` that takes the next of the inputs each time."""
    turns = cycle(inputs)
    return lambda: way(*next(turns))


def measure(case: dict[str, str | int | float], options: Options) -> list[Row]:
    """One case: all ways on the same windows."""
    set_threads(options.threads[0])
    size = (120, 180) if options.quick else (1200, 1800)

    def windows(seed: int) -> Windows:
        count, cells, kind = int(case["windows"]), int(case["cells"]), str(case["kind"])
        return random_windows(count, cells, kind, size, seed)

    inputs = [windows(seed) for seed in SEEDS]
    check_same(inputs[0], case)
    contenders = [
        Contender(name, in_turn(way, inputs), repeats) for name, (way, repeats) in WAYS.items()
    ]
    return compare(case, contenders, options.repeats, options.clock, options.peak_bytes)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_options("masks", __doc__, arguments)
    count = 5 if options.quick else 100
    rows: list[Row] = []
    for kind in ("blobs", "noise"):
        for cells in (15, 30, 60, 120):
            rows += measure({"kind": kind, "cells": cells, "windows": count}, options)
    finish(options, __doc__, rows)


if __name__ == "__main__":
    main()
