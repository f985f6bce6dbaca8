"""Label 100 objects on an 800 x 1344 image: sparse rule against windows x objects.

Run `python benchmarks/bench_assign.py`. Both rules run in this process on the same grid and
objects, take turns, and must give the same labels. Time is the median over repeats after a
warm-up; memory is the peak that one call allocates, measured in a call of its own because
tracing slows it down. What depends on the grid alone (the dense rule's boxes of all windows) is
made beforehand and counted for neither.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tensormask_core.assign import TensorMaskRule
from tensormask_core.grid import WindowGrid

IMAGE_SIZE = (800, 1344)
OBJECTS = 100
OBJECT_PX = (8.0, 640.0)  # range of the objects' sides, log-uniform
SEEDS = (0, 1, 2)
RULES = {"published": TensorMaskRule(), "paper": TensorMaskRule.paper()}
RESULT = Path(__file__).parent / "results" / "assign.json"

FloatArray = NDArray[np.float64]
# Flat indices of positive windows, their objects, and the ambiguous windows.
Labels = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def random_boxes(seed: int) -> FloatArray:
    """Objects of all sizes anywhere in the image, (OBJECTS, 4) XYXY px."""
    rng = np.random.default_rng(seed)
    image = np.array(IMAGE_SIZE[::-1], dtype=np.float64)
    side = np.exp(rng.uniform(np.log(OBJECT_PX[0]), np.log(OBJECT_PX[1]), size=(OBJECTS, 2)))
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


def seconds(call: Callable[[], Labels]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def peak_bytes(call: Callable[[], Labels]) -> int:
    """Most memory allocated at once during one call."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def compare(rule_name: str, seed: int, grid: WindowGrid, repeats: int) -> dict[str, Any]:
    """Measure both rules on one set of objects; one row of the table."""
    rule, boxes = RULES[rule_name], random_boxes(seed)
    windows, unit = grid.boxes(), grid.units()

    def sparse() -> Labels:
        return sparse_labels(rule, grid, boxes)

    def dense() -> Labels:
        return dense_labels(rule, windows, unit, boxes)

    check_same(sparse(), dense(), f"rule {rule_name}, seed {seed}")  # also the warm-up
    times = [(seconds(sparse), seconds(dense)) for _ in range(repeats)]
    sparse_s, dense_s = (statistics.median(column) for column in zip(*times, strict=True))
    sparse_bytes, dense_bytes = peak_bytes(sparse), peak_bytes(dense)
    return {
        "rule": rule_name,
        "seed": seed,
        "positives": len(sparse()[0]),
        "sparse_s": sparse_s,
        "dense_s": dense_s,
        "time_ratio": sparse_s / dense_s,
        "sparse_bytes": sparse_bytes,
        "dense_bytes": dense_bytes,
        "memory_ratio": sparse_bytes / dense_bytes,
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as text."""
    head = f"{'rule':10}{'seed':>5}{'positive':>9}{'sparse':>10}{'dense':>9}{'ratio':>8}"
    lines = [f"{head}{'sparse':>10}{'dense':>9}{'ratio':>8}"]
    for row in rows:
        lines.append(
            f"{row['rule']:10}{row['seed']:5}{row['positives']:9}"
            f"{row['sparse_s'] * 1e3:7.2f} ms{row['dense_s'] * 1e3:6.0f} ms"
            f"{row['time_ratio']:8.3%}"
            f"{row['sparse_bytes'] / 1e6:7.2f} MB{row['dense_bytes'] / 1e6:6.0f} MB"
            f"{row['memory_ratio']:8.3%}"
        )
    return "\n".join(lines)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a whole file or none: a temporary file beside it, then a rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
            file.write("\n")
        os.chmod(name, 0o644)  # mkstemp's files are the owner's alone
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--repeats", type=int, default=7, help="timed calls of each rule")
    parser.add_argument("--output", type=Path, default=RESULT, help="JSON file to write")
    options = parser.parse_args(arguments)
    grid = WindowGrid.pyramid(image_size=IMAGE_SIZE)
    rows = [compare(name, seed, grid, options.repeats) for name in RULES for seed in SEEDS]
    print(f"{OBJECTS} objects, {len(grid):,} windows, median of {options.repeats}")
    print(table(rows))
    print(
        f"worst: {max(row['time_ratio'] for row in rows):.3%} of the dense rule's time, "
        f"{max(row['memory_ratio'] for row in rows):.3%} of its memory"
    )
    write_json(
        options.output,
        {
            "benchmark": "assign",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "python": platform.python_version(),
            "numpy": np.__version__,
            "image_size": IMAGE_SIZE,
            "windows": len(grid),
            "objects": OBJECTS,
            "repeats": options.repeats,
            "rows": rows,
        },
    )


if __name__ == "__main__":
    main()
