"""What all rules share: boxes in, sparse labels out, work that grows with objects."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tensormask_core.assign import Assignment, DeepMaskRule, FastMaskRule, TensorMaskRule
from tensormask_core.errors import LayoutError
from tensormask_core.grid import WindowGrid

RULES = [TensorMaskRule(), DeepMaskRule(), FastMaskRule(), FastMaskRule.paper()]
GRID = WindowGrid.pyramid(image_size=(128, 160), levels=4)

each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
Rule = TensorMaskRule | DeepMaskRule | FastMaskRule


@each_rule
@pytest.mark.parametrize("boxes", [[], np.empty((0, 4)), np.empty((0, 4), np.float32)])
def test_no_object_gives_empty_lists(rule: Rule, boxes: object) -> None:
    found = rule(GRID, boxes)
    for part in (found.window, found.object, found.ambiguous, found.listed, found.level, found.y):
        assert part.shape == (0,)
        assert part.dtype == np.int64


@each_rule
def test_no_window_gives_empty_lists(rule: Rule) -> None:
    found = rule(WindowGrid.pyramid(image_size=(0, 0)), [[10, 10, 40, 40]])
    assert found.window.dtype == found.ignored.dtype == found.negative.dtype == np.int64
    assert found.labels().shape == found.window.shape == found.ambiguous.shape == (0,)


@each_rule
def test_lists_are_sorted_without_repeats(rule: Rule) -> None:
    corner = np.random.default_rng(0).uniform(0, 100, (30, 2))
    side = np.random.default_rng(1).uniform(20, 60, (30, 2))
    found = rule(GRID, np.hstack([corner, corner + side]))
    assert found.window.size
    for part in (found.window, found.ambiguous, found.ignored, found.negative):
        assert_array_equal(part, np.unique(part))


@each_rule
def test_every_window_has_one_label(rule: Rule) -> None:
    found = rule(GRID, [[40, 40, 90, 80], [60, 30, 100, 90]])
    everything = np.concatenate([found.window, found.negative, found.ignored])
    assert_array_equal(np.sort(everything), np.arange(len(GRID)))
    labels = found.labels()
    assert (labels[found.window] == 1).all()
    assert (labels[found.negative] == 0).all()
    assert (labels[found.ignored] == -1).all()


@each_rule
def test_input_is_not_changed(rule: Rule) -> None:
    boxes = np.array([[40.0, 40, 90, 80]])
    rule(GRID, boxes)
    assert_array_equal(boxes, [[40.0, 40, 90, 80]])


def test_place_of_positives_is_derived() -> None:
    found = TensorMaskRule()(GRID, [[40, 40, 90, 80]])
    assert_array_equal(GRID.ravel(found.level, found.y, found.x, found.size), found.window)


def test_torch_tensor_is_taken() -> None:
    torch = pytest.importorskip("torch")
    rows = [[40, 40, 90, 80], [60, 30, 100, 90]]
    found = TensorMaskRule()(GRID, torch.tensor(rows))
    assert_array_equal(found.window, TensorMaskRule()(GRID, rows).window)


@each_rule
@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([0, 0, np.nan, 1], r"got \[0.0, 0.0, nan, 1.0\] in row 1"),
        ([0, 0, 1, np.inf], "inf.* in row 1"),
        ([5, 0, 4, 1], r"x0 <= x1 .* got \[5.0, 0.0, 4.0, 1.0\] in row 1"),
        ([0, 5, 1, 4], "in row 1"),
    ],
)
def test_broken_box_is_named(rule: Rule, row: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rule(GRID, [[0, 0, 1, 1], row])


@each_rule
@pytest.mark.parametrize("shape", [(4,), (2, 5), (1, 2, 4), (0, 3)])
def test_wrong_shape_is_named(rule: Rule, shape: tuple[int, ...]) -> None:
    with pytest.raises(LayoutError, match=r"\(N, 4\) XYXY px, got shape"):
        rule(GRID, np.zeros(shape))


def peak_bytes(rule: Rule, grid: WindowGrid) -> int:
    """Most memory that labelling one object takes."""
    rule(grid, [[40, 40, 90, 80]])  # what the grid caches is paid for once
    tracemalloc.start()
    rule(grid, [[40, 40, 90, 80]])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@each_rule
def test_memory_does_not_grow_with_windows(rule: Rule) -> None:
    small = WindowGrid.pyramid(image_size=(256, 256))
    large = WindowGrid.pyramid(image_size=(8192, 8192))
    assert peak_bytes(rule, large) < 1.5 * peak_bytes(rule, small) + 10_000


def test_assignment_lists_negatives_where_the_rest_is_ignored() -> None:
    one, two = np.array([1]), np.array([2])
    found = Assignment(GRID, one, np.array([0]), np.array([]), two, "ignored")
    assert found.negative.tolist() == [2]
    assert len(found.ignored) == len(GRID) - 2
