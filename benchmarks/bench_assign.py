"""What does labelling 100 objects on an 800 x 1344 image cost, sparsely and densely?

Run `python benchmarks/bench_assign.py`; README.md describes the method. The sparse rule is the
library's, the dense one compares windows x objects; both must give the same labels. What depends
on the grid alone (the dense rule's boxes of all windows) is made beforehand and counted for
neither.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from _harness import Case, Contender, Row, compare
from _results import Options, finish, parse_options
from numpy.typing import NDArray

from tensormask_core.assign import TensorMaskRule
from tensormask_core.grid import WindowGrid

IMAGE_SIZE = (800, 1344)
QUICK_IMAGE_SIZE = (160, 256)
OBJECTS = 100
SHORTEST_PX, LONGEST = 8.0, 0.8  # of the objects' sides, log-uniform: px, and image heights
SEEDS = (0, 1, 2)
RULES = {"published": TensorMaskRule(), "paper": TensorMaskRule.paper()}

FloatArray = NDArray[np.float64]
# Flat indices of positive windows, their objects, and the ambiguous windows.
Labels = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def random_boxes(seed: int, image_size: tuple[int, int]) -> FloatArray:
    """Objects of all sizes anywhere in the image, (OBJECTS, 4) XYXY px."""
    rng = np.random.default_rng(seed)
    image = np.array(image_size[::-1], dtype=np.float64)
    shortest, longest = SHORTEST_PX, LONGEST * image_size[0]
    side = np.exp(rng.uniform(np.log(shortest), np.log(longest), size=(OBJECTS, 2)))
    corner = rng.uniform(size=(OBJECTS, 2)) * (image - side)
    return np.concatenate([corner, corner + side], axis=1)


def sparse_labels(rule: TensorMaskRule, grid: WindowGrid, boxes: FloatArray) -> Labels:
    """The library's rule."""
    found = rule(grid, boxes)
    return found.window, found.object, found.ambiguous


def dense_labels(
    rule: TensorMaskRule, windows: FloatArray, unit: FloatArray, boxes: FloatArray
) -> Labels:
    """The same rule, comparing every window with every object; arrays are (M, N)."""
    x0, y0, x1, y1 = windows.T[:, :, None]
    claims = (x0 <= boxes[:, 0]) & (y0 <= boxes[:, 1])
    claims &= (x1 >= boxes[:, 2]) & (y1 >= boxes[:, 3])
    side = np.maximum(x1 - x0, y1 - y0) - rule.scale_margin * unit[:, None]
    longest = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    claims &= side <= np.maximum(rule.scale_ratio * longest, side.min())
    spread = unit if rule.centrality_unit == "level" else np.full_like(unit, rule.centrality_unit)
    dx = ((boxes[:, 0] + boxes[:, 2]) / 2 - (x0 + x1) / 2) / spread[:, None]
    dy = ((boxes[:, 1] + boxes[:, 3]) / 2 - (y0 + y1) / 2) / spread[:, None]
    claims &= dy**2 + dx**2 <= rule.centrality**2
    claimants = claims.sum(axis=1)
    window = np.flatnonzero(claimants == 1)
    return window, claims[window].argmax(axis=1), np.flatnonzero(claimants > 1)


def check_same(sparse: Labels, dense: Labels, what: str) -> None:
    """Refuse to compare rules that disagree."""
    if not all(np.array_equal(a, b) for a, b in zip(sparse, dense, strict=True)):
        raise RuntimeError(f"the sparse and the dense rule give different labels for {what}")


def compare_rules(
    rule_name: str, seed: int, image_size: tuple[int, int], options: Options
) -> list[Row]:
    """Measure both rules on one set of objects."""
    rule, boxes = RULES[rule_name], random_boxes(seed, image_size)
    grid = WindowGrid.pyramid(image_size=image_size)
    windows, unit = grid.boxes(), grid.units()

    def sparse() -> Labels:
        return sparse_labels(rule, grid, boxes)

    def dense() -> Labels:
        return dense_labels(rule, windows, unit, boxes)

    found = sparse()
    check_same(found, dense(), f"rule {rule_name}, seed {seed}")
    case: Case = {
        "rule": rule_name,
        "seed": seed,
        "objects": OBJECTS,
        "windows": len(grid),
        "positive": len(found[0]),
    }
    contenders = [Contender("dense", dense), Contender("sparse", sparse)]
    return compare(case, contenders, options.repeats, options.clock, options.peak_bytes)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_options("assign", __doc__, arguments, repeats=7)
    image_size = QUICK_IMAGE_SIZE if options.quick else IMAGE_SIZE
    rows = [
        row
        for name in RULES
        for seed in SEEDS[: 1 if options.quick else None]
        for row in compare_rules(name, seed, image_size, options)
    ]
    finish(options, __doc__, rows)


if __name__ == "__main__":
    main()
