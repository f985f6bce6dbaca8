"""DeepMask's rule against a dense rule and cases made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tensormask_core.assign import Assignment, DeepMaskRule
from tensormask_core.errors import UnitError
from tensormask_core.grid import GridLevel, WindowGrid

ONE = WindowGrid((GridLevel(21, 21, 16.0, ((160, 160),)),))
PYRAMID = WindowGrid(
    tuple(GridLevel(int(20 * s), int(24 * s), 16 / s, ((160 / s, 160 / s),)) for s in (0.5, 1, 2))
)
RULES = [
    DeepMaskRule(),
    DeepMaskRule.paper(),
    DeepMaskRule(
        positive_shift_px=50, positive_octaves=2, negative_shift_px=70, negative_octaves=1
    ),
]


def labels_dense(rule: DeepMaskRule, grid: WindowGrid, boxes: np.ndarray) -> np.ndarray:
    """Label of each window by comparing all with all: 1, 0 or -1."""
    window = grid.boxes()
    scale = (window[:, 2:] - window[:, :2]).max(axis=1) / rule.patch_px
    labels = np.zeros(len(grid))
    for sign in (-1, 1):
        for x0, y0, x1, y1 in boxes:
            shift = ((y0 + y1) / 2, (x0 + x1) / 2) - grid.centres()
            with np.errstate(divide="ignore"):
                octaves = abs(np.log2(max(x1 - x0, y1 - y0) / (rule.object_px * scale)))
            near = (shift**2).sum(axis=1) < (rule.negative_shift_px * scale) ** 2
            near &= octaves < rule.negative_octaves
            good = (abs(shift) <= (rule.positive_shift_px * scale)[:, None]).all(axis=1)
            good &= octaves <= rule.positive_octaves
            labels[good if sign == 1 else near] = sign
    return labels


def box_at(x: float, y: float, side: float) -> list[float]:
    """XYXY square around a centre."""
    return [x - side / 2, y - side / 2, x + side / 2, y + side / 2]


def label_at(found: Assignment, y: int, x: int) -> int:
    """Label of the window at a node of level 0."""
    return int(found.labels()[found.grid.ravel(0, y, x, 0)])


BOXES = st.lists(
    st.tuples(*[st.integers(-10, 400)] * 2, *[st.sampled_from([0, 20, 46, 92, 110, 184])] * 2),
    max_size=5,
).map(lambda rows: np.array([(x, y, x + w, y + h) for x, y, w, h in rows]).reshape(-1, 4) * 1.0)


@pytest.mark.parametrize("rule", RULES, ids=range(3))
@given(boxes=BOXES)
def test_matches_dense_rule(rule: DeepMaskRule, boxes: np.ndarray) -> None:
    assert_array_equal(rule(PYRAMID, boxes).labels(), labels_dense(rule, PYRAMID, boxes))


@pytest.mark.parametrize(
    ("side", "label"), [(77, -1), (78, 1), (92, 1), (109, 1), (110, -1), (16, 0), (521, 0)]
)
def test_scale_decides(side: float, label: int) -> None:
    assert label_at(DeepMaskRule()(ONE, [box_at(160, 160, side)]), 10, 10) == label


@pytest.mark.parametrize(
    ("node", "label"), [((10, 10), 1), ((11, 9), 1), ((12, 10), -1), ((12, 12), -1), ((13, 10), 0)]
)
def test_shift_decides(node: tuple[int, int], label: int) -> None:
    assert label_at(DeepMaskRule()(ONE, [box_at(160, 160, 92)]), *node) == label


@pytest.mark.parametrize(
    ("side", "node", "label"),
    [(128, (10, 10), 1), (255, (10, 10), -1), (257, (10, 10), 0), (92, (12, 10), 0)],
)
def test_paper_scales_with_its_window(side: float, node: tuple[int, int], label: int) -> None:
    found = DeepMaskRule.paper()(ONE, [box_at(160, 160, side * 160 / 224)])
    assert label_at(found, *node) == label


@pytest.mark.parametrize(("side", "label"), [(46, 0), (46.5, -1), (183.5, -1), (184, 0)])
def test_scale_from_which_windows_are_negative(side: float, label: int) -> None:
    rule = DeepMaskRule(negative_octaves=1)
    assert label_at(rule(ONE, [box_at(160, 160, side)]), 10, 10) == label


def test_nearest_object_gets_a_contested_window() -> None:
    found = DeepMaskRule()(ONE, [box_at(168, 160, 92), box_at(161, 160, 92)])
    at = int(np.searchsorted(found.window, ONE.ravel(0, 10, 10, 0)))
    assert found.object[at] == 1
    assert found.window[at] in found.ambiguous


def test_positive_window_is_not_ignored_for_another_object() -> None:
    found = DeepMaskRule()(ONE, [box_at(160, 160, 92), box_at(160, 160, 200)])
    assert label_at(found, 10, 10) == 1
    assert not np.isin(found.window, found.ignored).any()
    assert len(np.unique(found.ignored)) == len(found.ignored) == 16


def test_rule_refuses_an_impossible_constant() -> None:
    with pytest.raises(UnitError, match=r"patch_px must be .* got -1"):
        DeepMaskRule(patch_px=-1)
