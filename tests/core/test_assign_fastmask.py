"""FastMask's rule against a dense rule and cases made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tensormask_core.assign import Assignment, FastMaskRule
from tensormask_core.errors import UnitError
from tensormask_core.grid import GridLevel, WindowGrid

ONE = WindowGrid((GridLevel(21, 21, 16.0, ((160, 160),)),))
STREAMS = WindowGrid(
    tuple(GridLevel(320 // r + 1, 480 // r + 1, r, ((10 * r, 10 * r),)) for r in (16, 24, 32, 48))
)
RULES = [
    FastMaskRule(),
    FastMaskRule.paper(),
    FastMaskRule(contain="box", scale_range=(0.5, 1.0), centre_tolerance=0.3),
    FastMaskRule(centre_tolerance=0.6),
    FastMaskRule(negatives="all", centre_tolerance=0.6),
]


def labels_dense(rule: FastMaskRule, grid: WindowGrid, boxes: np.ndarray) -> np.ndarray:
    """Label of each window by comparing all with all: 1, 0 or -1."""
    window = grid.boxes()
    side = window[:, 2] - window[:, 0]  # all windows are square here
    positive, hard = np.zeros((2, len(grid)), dtype=bool)
    for x0, y0, x1, y1 in boxes:
        longest = max(x1 - x0, y1 - y0)
        shift = abs(((y0 + y1) / 2, (x0 + x1) / 2) - grid.centres()).max(axis=1)
        sized = (rule.scale_range[0] * side <= longest) & (longest <= rule.scale_range[1] * side)
        placed, inside = shift <= rule.centre_tolerance * side, shift <= side / 2
        boxed = (window[:, :2] <= (x0, y0)).all(1) & (window[:, 2:] >= (x1, y1)).all(1)
        positive |= sized & placed & (boxed if rule.contain == "box" else inside)
        hard |= (placed & inside & ~sized) | (sized & inside & ~placed)
    rest = np.where(hard, 0, -1) if rule.negatives == "hard" else 0
    return np.where(positive, 1, rest)


def box_at(x: float, y: float, side: float) -> list[float]:
    """XYXY square around a centre."""
    return [x - side / 2, y - side / 2, x + side / 2, y + side / 2]


def label_at(found: Assignment, y: int, x: int) -> int:
    """Label of the window at a node of level 0."""
    return int(found.labels()[found.grid.ravel(0, y, x, 0)])


BOXES = st.lists(
    st.tuples(*[st.integers(-10, 400)] * 2, *[st.sampled_from([0, 30, 64, 80, 108, 128, 200])] * 2),
    max_size=5,
).map(lambda rows: np.array([(x, y, x + w, y + h) for x, y, w, h in rows]).reshape(-1, 4) * 1.0)


@pytest.mark.parametrize("rule", RULES, ids=range(len(RULES)))
@given(boxes=BOXES)
def test_matches_dense_rule(rule: FastMaskRule, boxes: np.ndarray) -> None:
    assert_array_equal(rule(STREAMS, boxes).labels(), labels_dense(rule, STREAMS, boxes))


@pytest.mark.parametrize(("side", "label"), [(67, 0), (68, 1), (108, 1), (109, 0)])
def test_released_scale_range(side: float, label: int) -> None:
    assert label_at(FastMaskRule()(ONE, [box_at(160, 160, side)]), 10, 10) == label


@pytest.mark.parametrize(("side", "label"), [(63.75, 0), (64, 1), (128, 1), (128.25, 0)])
def test_paper_scale_range(side: float, label: int) -> None:
    assert label_at(FastMaskRule.paper()(ONE, [box_at(160, 160, side)]), 10, 10) == label


@pytest.mark.parametrize(
    ("node", "label"),
    [((11, 9), 1), ((12, 10), 0), ((15, 5), 0), ((16, 10), -1), ((0, 0), -1)],
)
def test_released_place(node: tuple[int, int], label: int) -> None:
    assert label_at(FastMaskRule()(ONE, [box_at(160, 160, 80)]), *node) == label


def test_wrong_size_is_a_hard_negative_only_where_centred() -> None:
    found = FastMaskRule()(ONE, [box_at(160, 160, 20)])
    assert found.window.size == 0
    assert (found.listed.size, found.ignored.size) == (9, 441 - 9)


def test_paper_demands_the_whole_object() -> None:
    shifted = [box_at(160 + 16, 160, 130)]
    assert label_at(FastMaskRule(scale_range=(0.4, 0.82))(ONE, shifted), 10, 10) == 1
    assert label_at(FastMaskRule(scale_range=(0.4, 0.82), contain="box")(ONE, shifted), 10, 10) != 1


def test_paper_ignores_nothing() -> None:
    found = FastMaskRule.paper()(ONE, [box_at(160, 160, 80)])
    assert found.ignored.size == 0
    assert found.negative.size == 441 - 9


def test_nearest_object_gets_a_contested_window() -> None:
    found = FastMaskRule()(ONE, [box_at(168, 160, 80), box_at(161, 160, 90)])
    at = int(np.searchsorted(found.window, ONE.ravel(0, 10, 10, 0)))
    assert found.object[at] == 1
    assert found.window[at] in found.ambiguous


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        ({"scale_range": (0.0, 1.0)}, UnitError, "scale_range must be .* got 0.0"),
        ({"scale_range": (0.8, 0.4)}, ValueError, r"got \(0.8, 0.4\)"),
        ({"centre_tolerance": float("nan")}, UnitError, "centre_tolerance must be .* got nan"),
        ({"contain": "mask"}, ValueError, "'centre' or 'box', got 'mask'"),
        ({"negatives": "easy"}, ValueError, "'hard' or 'all', got 'easy'"),
    ],
)
def test_rule_refuses(bad: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        FastMaskRule(**bad)
