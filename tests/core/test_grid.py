"""Where the windows of a grid are, and how they are numbered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tensormask_core.errors import LayoutError, UnitError
from tensormask_core.grid import GridLevel, WindowGrid

MIXED = WindowGrid(
    (
        GridLevel(3, 4, 8.0, ((10, 20), (30, 40), (50, 60)), offset_px=(1, 2)),
        GridLevel(0, 5, 16.0, ((16, 16),)),
        GridLevel(2, 1, 32.0, ((7, 9),)),
    )
)


def boxes_by_loops(grid: WindowGrid) -> list[list[float]]:
    """Each window's XYXY box, in the documented order."""
    return [
        [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
        for level in grid.levels
        for cy in (level.offset_px[0] + level.sigma_hw * y for y in range(level.height))
        for cx in (level.offset_px[1] + level.sigma_hw * x for x in range(level.width))
        for h, w in level.windows_px
    ]


def test_pyramid_has_the_published_number_of_windows() -> None:
    assert len(WindowGrid.pyramid(image_size=(800, 1344))) == 179_200


def test_pyramid_extents_round_up_from_level_to_level() -> None:
    grid = WindowGrid.pyramid(image_size=(253, 320), levels=6)
    extents = [(level.height, level.width) for level in grid.levels]
    assert extents == [(64, 80), (32, 40), (16, 20), (8, 10), (4, 5), (2, 3)]


def test_pyramid_strides_and_windows_double() -> None:
    grid = WindowGrid.pyramid(image_size=(64, 64), sigma=2, windows=(9, (3, 5)), levels=3)
    assert [level.sigma_hw for level in grid.levels] == [2, 4, 8]
    assert grid.levels[2].windows_px == ((72, 72), (24, 40))


def test_window_is_centred_on_its_node_without_half_a_stride() -> None:
    grid = WindowGrid.pyramid(image_size=(64, 64))
    assert grid.boxes([grid.ravel(1, 2, 3, 0)]).tolist() == [[24 - 44, 16 - 44, 24 + 44, 16 + 44]]


def test_rows_of_a_window_come_first() -> None:
    grid = WindowGrid.pyramid(image_size=(4, 4), windows=((1, 3),), levels=1)
    assert grid.boxes().tolist() == [[-6, -2, 6, 2]]


@pytest.mark.parametrize(
    "grid", [MIXED, WindowGrid.pyramid(image_size=(20, 30), windows=(3, (2, 5)), levels=3)]
)
def test_boxes_match_loops(grid: WindowGrid) -> None:
    assert_array_equal(grid.boxes(), boxes_by_loops(grid))


def test_chosen_boxes_centres_and_units_match_all() -> None:
    index = [37, 0, 5, 36, 5]
    assert_array_equal(MIXED.boxes(index), MIXED.boxes()[index])
    assert_array_equal(MIXED.centres(index), MIXED.centres()[index])
    assert_array_equal(MIXED.units(index), MIXED.units()[index])


def test_units_are_the_stride_of_the_level() -> None:
    assert_array_equal(MIXED.units(), [8.0] * 36 + [32.0] * 2)


def test_centres_are_yx() -> None:
    assert MIXED.centres([MIXED.ravel(0, 2, 1, 0)]).tolist() == [[1 + 16, 2 + 8]]


def test_order_is_level_y_x_size() -> None:
    grid = WindowGrid.pyramid(image_size=(8, 12), levels=2)
    rows = np.stack(grid.unravel(np.arange(len(grid))), axis=1).tolist()
    assert rows == sorted(rows)
    assert rows[:4] == [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 0, 1, 1]]


@given(
    st.tuples(st.integers(0, 40), st.integers(0, 40)),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_ravel_inverts_unravel(
    image_size: tuple[int, int], sigma: int, levels: int, sizes: int
) -> None:
    grid = WindowGrid.pyramid(image_size, sigma, tuple(range(1, sizes + 1)), levels)
    index = np.arange(len(grid))
    assert_array_equal(grid.ravel(*grid.unravel(index)), index)


def test_levels_with_different_numbers_of_sizes_ravel() -> None:
    assert_array_equal(MIXED.ravel(*MIXED.unravel(np.arange(38))), np.arange(38))


def test_golden_anchors(shared_dir: Path) -> None:
    with np.load(shared_dir / "golden" / "assignment.npz", allow_pickle=False) as golden:
        grid = WindowGrid.pyramid(image_size=(256, 320))
        assert_array_equal(grid.boxes(), golden["img0_anchors"])
        assert_array_equal(grid.units(), golden["img0_units"])
        index = grid.ravel(*golden["img0_indexes"][:, [0, 2, 3, 4]].T)
        assert_array_equal(index, np.arange(len(grid)))


def test_empty_image_has_no_windows() -> None:
    grid = WindowGrid.pyramid(image_size=(0, 64))
    assert len(grid) == 0
    assert grid.boxes().shape == (0, 4)
    assert grid.centres([]).shape == (0, 2)


def test_grid_is_a_value() -> None:
    one, other = (WindowGrid.pyramid(image_size=(64, 64)) for _ in range(2))
    one.boxes()
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        ({"image_size": (64,)}, LayoutError, r"image_size expects whole .* got \(64,\)"),
        ({"image_size": (64, -1)}, LayoutError, r"got \(64, -1\)"),
        ({"image_size": (64, 1.5)}, LayoutError, "1.5"),
        ({"sigma": 0}, UnitError, "sigma must be .* got 0"),
        ({"sigma": float("nan")}, UnitError, "sigma must be .* got nan"),
        ({"windows": (0,)}, LayoutError, "whole extents .* got 0"),
        ({"windows": ((3, -1),)}, LayoutError, r"got \(3, -1\)"),
        ({"windows": (2.5,)}, LayoutError, "got 2.5"),
        ({"windows": ()}, LayoutError, "windows_px"),
        ({"levels": 0}, LayoutError, "at least one level, got 0"),
    ],
)
def test_pyramid_refuses(bad: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        WindowGrid.pyramid(**{"image_size": (64, 64), **bad})


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        ({"height": -1}, LayoutError, "-1"),
        ({"sigma_hw": -4.0}, UnitError, "sigma_hw must be .* got -4.0"),
        ({"windows_px": (8, 8)}, LayoutError, "pairs"),
        ({"windows_px": ((8, float("inf")),)}, UnitError, "got inf"),
        ({"offset_px": (0, float("nan"))}, UnitError, "offset_px must be finite"),
    ],
)
def test_level_refuses(bad: dict[str, object], error: type[Exception], words: str) -> None:
    good = {"height": 2, "width": 2, "sigma_hw": 4.0, "windows_px": ((8, 8),)}
    with pytest.raises(error, match=words):
        GridLevel(**{**good, **bad})


def test_grid_needs_a_level() -> None:
    with pytest.raises(LayoutError, match="at least one GridLevel"):
        WindowGrid(())


@pytest.mark.parametrize("index", [-1, 38])
def test_index_outside_the_grid_is_named(index: int) -> None:
    with pytest.raises(IndexError, match=f"window {index} lies outside .* has 38"):
        MIXED.boxes([0, index])


@pytest.mark.parametrize(
    ("place", "name"),
    [((3, 0, 0, 0), "level"), ((0, 3, 0, 0), "y"), ((0, 0, 4, 0), "x"), ((2, 0, 0, 1), "size")],
)
def test_place_outside_the_grid_is_named(place: tuple[int, ...], name: str) -> None:
    with pytest.raises(IndexError, match=f"^{name} "):
        MIXED.ravel(*place)


def test_fractional_index_is_refused() -> None:
    with pytest.raises(TypeError, match="whole numbers, got float64"):
        MIXED.boxes([0.0])
