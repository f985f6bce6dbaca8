"""TensorMask's rule against the published labels, a dense rule and cases made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tensormask_core.assign import TensorMaskRule
from tensormask_core.errors import UnitError
from tensormask_core.grid import GridLevel, WindowGrid

GRID = WindowGrid.pyramid(image_size=(128, 160), levels=4)


def claims_dense(rule: TensorMaskRule, grid: WindowGrid, boxes: np.ndarray) -> np.ndarray:
    """Which object claims which window, (M, N), by comparing all with all."""
    window, unit = grid.boxes(), grid.units()
    side = (window[:, 2:] - window[:, :2]).max(axis=1) - rule.scale_margin * unit
    small = side.min() if rule.small_window_px is None else rule.small_window_px
    spread = unit if rule.centrality_unit == "level" else np.full(len(grid), rule.centrality_unit)
    claims = np.zeros((len(grid), len(boxes)), dtype=bool)
    for column, (x0, y0, x1, y1) in enumerate(boxes):
        inside = (window[:, :2] <= (x0, y0)).all(1) & (window[:, 2:] >= (x1, y1)).all(1)
        scaled = side <= max(rule.scale_ratio * max(x1 - x0, y1 - y0), small)
        centre = ((y0 + y1) / 2, (x0 + x1) / 2)
        apart = (((centre - grid.centres()) / spread[:, None]) ** 2).sum(axis=1)
        claims[:, column] = inside & scaled & (apart <= rule.centrality**2)
    return claims


def nearest_dense(claims: np.ndarray, grid: WindowGrid, boxes: np.ndarray) -> np.ndarray:
    """The object that gets each window, (M,); -1 for none."""
    winners = np.full(len(grid), -1)
    for window in np.flatnonzero(claims.any(axis=1)):
        centre = grid.centres([window])[0]
        winners[window] = min(
            np.flatnonzero(claims[window]),
            key=lambda n: (
                (((boxes[n, :2] + boxes[n, 2:])[::-1] / 2 - centre) ** 2).sum(),
                np.prod(boxes[n, 2:] - boxes[n, :2]),
                n,
            ),
        )
    return winners


def boxes_of_quarters(limit_px: int) -> st.SearchStrategy[np.ndarray]:
    """Boxes on a lattice of quarter pixels, where ties and borders are hit often."""
    quarter = st.integers(-20, 4 * limit_px)
    side = st.one_of(st.integers(0, 200), st.sampled_from([0, 80, 88, 112, 120, 176, 240, 480]))
    box = st.tuples(quarter, quarter, side, side)
    return st.lists(box, max_size=8).map(
        lambda rows: np.array([(x, y, x + w, y + h) for x, y, w, h in rows]).reshape(-1, 4) / 4
    )


RULES = [
    TensorMaskRule(),
    TensorMaskRule.paper(),
    TensorMaskRule.paper("level"),
    TensorMaskRule(centrality=2.5, centrality_unit=3.0, small_window_px=90, scale_ratio=1.5),
]
GRIDS = [
    GRID,
    WindowGrid.pyramid(image_size=(61, 90), sigma=3, windows=((11, 7), (4, 15)), levels=3),
    WindowGrid((GridLevel(9, 12, 8.0, ((40, 56),), offset_px=(4, 4)),)),
]


@pytest.mark.parametrize("rule", RULES, ids=range(len(RULES)))
@pytest.mark.parametrize("grid", GRIDS, ids=range(len(GRIDS)))
@given(boxes=boxes_of_quarters(150))
def test_matches_dense_rule(rule: TensorMaskRule, grid: WindowGrid, boxes: np.ndarray) -> None:
    claims = claims_dense(rule, grid, boxes)
    found = rule(grid, boxes)
    assert_array_equal(found.window, np.flatnonzero(claims.sum(axis=1) == 1))
    assert claims[found.window, found.object].all()
    assert_array_equal(found.ambiguous, np.flatnonzero(claims.sum(axis=1) > 1))
    assert found.ignored.size == 0


@given(boxes=boxes_of_quarters(60))
def test_nearest_matches_dense_rule(boxes: np.ndarray) -> None:
    rule = TensorMaskRule(ambiguous="nearest")
    claims = claims_dense(rule, GRID, boxes)
    found = rule(GRID, boxes)
    winners = nearest_dense(claims, GRID, boxes)
    assert_array_equal(found.window, np.flatnonzero(winners >= 0))
    assert_array_equal(found.object, winners[found.window])
    assert_array_equal(found.ambiguous, np.flatnonzero(claims.sum(axis=1) > 1))


@pytest.mark.parametrize("index", [0, 1, 2, 4, 7])
def test_golden_labels(shared_dir: Path, index: int) -> None:
    name = f"img0_set{index}"
    with np.load(shared_dir / "golden" / "assignment.npz", allow_pickle=False) as golden:
        found = TensorMaskRule()(WindowGrid.pyramid(image_size=(256, 320)), golden[f"{name}_gt"])
        assert_array_equal(found.labels(), golden[f"{name}_labels"])
        assert_array_equal(found.object, golden[f"{name}_matches"][found.window])
        assert_array_equal(found.ambiguous, np.flatnonzero(golden[f"{name}_labels_nouniq"] == -1))


def sides_found(rule: TensorMaskRule, box: list[float]) -> list[float]:
    """Sides of the windows found for one box, each once."""
    found = rule(GRID, [box])
    corners = GRID.boxes(found.window)
    return sorted({float(side) for side in corners[:, 2] - corners[:, 0]})


def box_at(x: float, y: float, width: float, height: float) -> list[float]:
    """XYXY box around a centre."""
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


@pytest.mark.parametrize(
    ("side", "windows"),
    [
        (1, [44]),
        (27.5, [44]),
        (28, [44, 60]),
        (39.5, [44, 60]),
        (40, [44, 60, 88]),
        (44.5, [60, 88]),
    ],
)
def test_published_scale_limits(side: float, windows: list[float]) -> None:
    assert sides_found(TensorMaskRule(), box_at(64, 64, side, side / 2)) == windows


@pytest.mark.parametrize(
    ("side", "windows"),
    [(1, [44]), (29.5, [44]), (30, [44, 60]), (43.5, [44, 60]), (44, [44, 60, 88])],
)
def test_paper_scale_limits(side: float, windows: list[float]) -> None:
    assert sides_found(TensorMaskRule.paper(), box_at(64, 64, side / 2, side)) == windows


def test_centrality_unit_is_the_stride_or_the_mask_cell() -> None:
    box = box_at(64 + 16, 64, 160, 100)  # half a stride from a node of level 3
    published, paper = TensorMaskRule()(GRID, [box]), TensorMaskRule.paper()(GRID, [box])
    assert 3 in published.level
    assert 3 not in paper.level


def test_centrality_is_euclidean_and_closed() -> None:
    found = TensorMaskRule()(GRID, [box_at(64, 64, 20, 20)])
    nodes = {(int(y), int(x)) for y, x in zip(found.y, found.x, strict=True)}
    assert nodes == {(16, 16), (15, 16), (17, 16), (16, 15), (16, 17)}


def test_window_claimed_twice_is_negative() -> None:
    twins = [box_at(64, 64, 20, 20), box_at(64, 64, 22, 22)]
    found = TensorMaskRule()(GRID, twins)
    assert found.window.size == 0
    assert found.ambiguous.size == 5
    assert found.ignored.size == 0
    assert_array_equal(found.labels(), np.zeros(len(GRID)))


def test_nearest_breaks_ties_by_area_then_row() -> None:
    boxes = [box_at(64, 64, 22, 22), box_at(64, 64, 20, 20), box_at(64, 64, 20, 20)]
    found = TensorMaskRule(ambiguous="nearest")(GRID, boxes)
    assert set(found.object.tolist()) == {1}
    assert found.ambiguous.size == 5


@pytest.mark.parametrize("box", [[64, 50, 64, 70], [50, 64, 70, 64], [64, 64, 64, 64]])
def test_box_without_area_is_claimed(box: list[float]) -> None:
    assert TensorMaskRule()(GRID, [box]).window.size == 5


def test_object_far_outside_is_found_nowhere() -> None:
    found = TensorMaskRule()(GRID, [[1e300, 0, 1e300, 20], [-1e20, -1e20, 1e20, 1e20]])
    assert found.window.size == 0


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        ({"centrality_unit": 0.0}, UnitError, "centrality_unit must be .* got 0.0"),
        ({"centrality_unit": "stride"}, UnitError, "'level' or a length in px, got 'stride'"),
        ({"scale_ratio": float("nan")}, UnitError, "scale_ratio must be .* got nan"),
        ({"centrality": -1.0}, UnitError, "centrality must be .* got -1.0"),
        ({"scale_margin": float("inf")}, UnitError, "scale_margin must be .* got inf"),
        ({"ambiguous": "ignore"}, ValueError, "'negative' or 'nearest', got 'ignore'"),
    ],
)
def test_rule_refuses(bad: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        TensorMaskRule(**bad)
