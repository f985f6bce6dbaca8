"""Pyramids of masks: extents and units by level, dense and sparse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tensormask_core import Aligned, Bipyramid, LayoutError, MaskPyramid, Natural, UnitError, Units

LEVELS = 3


def _natural(k: int, growth: int = 2, extent: int = 9) -> Natural[Any]:
    size = 3 * growth**k
    nodes = -(-extent // 2**k)
    units = Units(4 * 2**k / growth**k, 4 * 2**k)
    return Natural(np.full((2, size, size, nodes, nodes), float(k)), units.sigma_vu, units.sigma_hw)


@pytest.fixture
def aligned() -> list[Aligned[Any]]:
    rng = np.random.default_rng(0)
    return [
        Aligned(rng.normal(size=(2, 3, 3, 9, 9)), sigma_vu=4 * 2**k, sigma_hw=4)
        for k in range(LEVELS)
    ]


def test_levels_keep_sigma_vu_and_double_the_stride() -> None:
    pyramid = Bipyramid([_natural(k) for k in range(LEVELS)])
    assert [level.units for level in pyramid] == [Units(4, 4), Units(4, 8), Units(4, 16)]


def test_extents_that_two_does_not_divide_are_rounded_up() -> None:
    pyramid = Bipyramid([_natural(k) for k in range(LEVELS)])
    assert [level.shape[-2:] for level in pyramid] == [(9, 9), (5, 5), (3, 3)]


def test_mask_pyramid_keeps_the_window_size() -> None:
    pyramid = MaskPyramid([_natural(k, growth=1) for k in range(LEVELS)])
    assert [level.window_size for level in pyramid] == [(3, 3)] * LEVELS


def test_lazy_levels_are_swapped(aligned: list[Aligned[Any]]) -> None:
    pyramid = Bipyramid.from_aligned(aligned, pad_value=-6.0)
    expected = aligned[2].swap_align2nat(4, pad_value=-6.0)
    np.testing.assert_array_equal(pyramid.level(2).data, expected.data)
    assert pyramid.level(2).units == expected.units


def test_lazy_levels_form_a_bipyramid(aligned: list[Aligned[Any]]) -> None:
    lazy = Bipyramid.from_aligned(aligned)
    assert [level.shape for level in Bipyramid(list(lazy))] == [level.shape for level in lazy]


def test_lazy_windows_equal_the_dense_level(aligned: list[Aligned[Any]]) -> None:
    pyramid = Bipyramid.from_aligned(aligned, pad_value=-6.0)
    sparse = pyramid.windows(1, np.array([[1, 2, 3]]))
    np.testing.assert_allclose(sparse[0], pyramid.level(1).data[1, :, :, 2, 3], atol=1e-12)


def test_windows_of_given_levels_are_read() -> None:
    pyramid = Bipyramid([_natural(k) for k in range(LEVELS)])
    np.testing.assert_array_equal(pyramid.windows(1, np.array([[1, 2, 3]])), np.ones((1, 6, 6)))


def test_negative_level_counts_from_the_coarsest(aligned: list[Aligned[Any]]) -> None:
    pyramid = Bipyramid.from_aligned(aligned)
    assert pyramid.level(-1).units == pyramid.level(2).units


@pytest.mark.parametrize("k", [LEVELS, -LEVELS - 1])
def test_level_out_of_range(aligned: list[Aligned[Any]], k: int) -> None:
    with pytest.raises(IndexError, match=r"a level expects k in \[0, 3\)"):
        Bipyramid.from_aligned(aligned).level(k)


def test_wrong_extent_names_both_shapes() -> None:
    with pytest.raises(LayoutError, match=r"level 1 .* \(2, 6, 6, 5, 5\) .* \(2, 6, 6, 4, 4\)"):
        Bipyramid([_natural(0), _natural(1, extent=8)])


def test_wrong_units_are_a_unit_error() -> None:
    wrong = Natural(_natural(1).data, sigma_vu=4, sigma_hw=4)
    with pytest.raises(UnitError, match=r"level 1 expects .*sigma_hw=8"):
        Bipyramid([_natural(0), wrong])


def test_mask_pyramid_is_no_bipyramid() -> None:
    with pytest.raises(LayoutError, match="level 1 of a Bipyramid expects shape"):
        Bipyramid([_natural(k, growth=1) for k in range(2)])


def test_aligned_level_is_a_layout_error(aligned: list[Aligned[Any]]) -> None:
    with pytest.raises(LayoutError, match="Bipyramid expects Natural tensors, got Aligned"):
        Bipyramid(aligned)  # type: ignore[arg-type]  # meant


def test_natural_level_is_no_lazy_level() -> None:
    with pytest.raises(LayoutError, match="expects Aligned tensors, got Natural"):
        Bipyramid.from_aligned([_natural(0)])  # type: ignore[list-item]  # meant


def test_no_levels() -> None:
    for make in (Bipyramid, MaskPyramid, Bipyramid.from_aligned):
        with pytest.raises(LayoutError, match="at least one level"):
            make([])


def test_lazy_level_of_another_window_extent(aligned: list[Aligned[Any]]) -> None:
    with pytest.raises(UnitError, match=r"level 1 .* \(24, 24\) px, got \(48, 48\)"):
        Bipyramid.from_aligned([aligned[0], aligned[2]])


def test_lazy_level_of_another_image(aligned: list[Aligned[Any]]) -> None:
    other = Aligned(np.zeros((2, 3, 3, 9, 8)), sigma_vu=8, sigma_hw=4)
    with pytest.raises(LayoutError, match=r"level 1 .* \(2, 36, 36\).*\(2, 36, 32\)"):
        Bipyramid.from_aligned([aligned[0], other])


def test_impossible_unit_of_lazy_levels(aligned: list[Aligned[Any]]) -> None:
    with pytest.raises(UnitError, match="sigma_vu must be positive and finite, got 0"):
        Bipyramid.from_aligned(aligned, sigma_vu=0)


def test_mixed_libraries() -> None:
    strict = pytest.importorskip("array_api_strict")
    level = _natural(1)
    other = Natural(strict.asarray(level.data), level.sigma_vu, level.sigma_hw)
    with pytest.raises(TypeError, match="one library, got numpy and array_api_strict"):
        Bipyramid([_natural(0), other])
