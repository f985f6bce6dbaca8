"""Plans: extents, ratios and coordinates derived from units."""

from __future__ import annotations

import pytest

from tensormask_core.errors import LayoutError, UnitError
from tensormask_core.plan import grid_extent_out, make_plan, window_extent_out
from tensormask_core.taps import cell_taps, grid_taps
from tensormask_core.testing import Case
from tensormask_core.units import Units, unit_ratio, window_offsets

SHAPE = (15, 15, 200, 304)


def test_swap_exchanges_extents() -> None:
    plan = make_plan(SHAPE, Units(32, 4), Units(4, 32), 1)
    assert plan.shape_out == (120, 120, 25, 38)


def test_ratios_are_those_of_the_design() -> None:
    plan = make_plan(SHAPE, Units(32, 4), Units(4, 32), 1)
    assert (plan.rho, plan.s, plan.a) == ((1, 8), (8, 1), (1, 1))


@pytest.mark.parametrize(("direction", "a"), [(1, (3, 2)), (-1, (-3, 2)), (0, (0, 1))])
def test_direction_is_the_sign_of_a(direction: int, a: tuple[int, int]) -> None:
    assert make_plan((3, 3, 8, 8), Units(6, 4), Units(6, 4), direction).a == a


def test_equal_plans_are_one_key() -> None:
    plans = {make_plan(SHAPE, Units(1, s), Units(1, s), 1) for s in (1, 1.0)}
    assert len(plans) == 1


def test_common_scale_of_units_does_not_matter() -> None:
    assert make_plan(SHAPE, Units(32, 4), Units(4, 32), 1) == make_plan(
        SHAPE, Units(8 / 3, 1 / 3), Units(1 / 3, 8 / 3), 1
    )


@pytest.mark.parametrize(
    ("extent", "s", "nodes"), [(7, (2, 1), 4), (8, (2, 1), 4), (0, (2, 1), 0), (5, (2, 3), 8)]
)
def test_grid_extent_is_rounded_up(extent: int, s: tuple[int, int], nodes: int) -> None:
    assert grid_extent_out(extent, s) == nodes


def test_fractional_lam_keeps_whole_windows() -> None:
    assert window_extent_out(10, unit_ratio(1, 1.5)) == 15


def test_even_windows_have_half_integer_offsets() -> None:
    assert window_offsets(4) == (-1.5, -0.5, 0.5, 1.5)


def test_thirds_are_exact() -> None:
    assert unit_ratio(32 / 3, 32) == (1, 3)


def test_tiny_and_huge_ratios_are_inverse() -> None:
    assert unit_ratio(1, 4000) == unit_ratio(4000, 1)[::-1]


def test_irrational_ratio_names_the_nearest_legal_one() -> None:
    with pytest.raises(UnitError, match=r"2\.718281828 / 1.*nearest legal ratio is \d+/\d+"):
        unit_ratio(2.718281828, 1)


def test_unknown_mode_is_a_layout_error() -> None:
    with pytest.raises(LayoutError, match="mode must be one of 'bilinear', 'nearest', got 'cubic'"):
        make_plan(SHAPE, Units(1, 1), Units(1, 1), 1, mode="cubic")  # type: ignore[arg-type]  # meant


def test_weights_sum_to_one_where_inside() -> None:
    plan = Case((5, 4), (9, 8), Units(3, 1), Units(2, 3)).but(window=(6, 4)).plan
    for taps in (cell_taps(plan, 0), cell_taps(plan, 1), grid_taps(plan, 0), grid_taps(plan, 1)):
        assert ((taps.weight.sum(-1) == 1) == taps.inside).all()


def test_tables_cannot_be_written() -> None:
    taps = cell_taps(Case((3, 3), (4, 4), Units(1, 1), Units(1, 1)).plan, 0)
    with pytest.raises(ValueError, match="read-only"):
        taps.weight[0] = 2
