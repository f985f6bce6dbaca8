"""The operators of the papers on plain arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tensormask_core import ops


@pytest.fixture
def x() -> Any:
    return np.random.default_rng(0).normal(size=(2, 3, 5, 8, 9))


def test_align2nat_is_the_papers_formula(x: Any) -> None:
    out = ops.align2nat(x, pad_value=7.0)
    assert out[1, 0, 4, 3, 2] == x[1, 0, 4, 3 - 1, 2 + 2]  # v = -1, u = +2
    assert out[1, 0, 4, 0, 0] == 7.0


def test_nat2align_is_the_papers_formula(x: Any) -> None:
    assert ops.nat2align(x)[1, 0, 4, 3, 2] == x[1, 0, 4, 3 + 1, 2 - 2]


def test_alpha_stretches_the_offset(x: Any) -> None:
    assert ops.align2nat(x, 2)[0, 2, 2, 3, 4] == x[0, 2, 2, 3 + 2, 4]


@pytest.mark.parametrize("operator", [ops.up_align2nat, ops.swap_align2nat])
def test_lam_1_is_align2nat(x: Any, operator: Callable[..., Any]) -> None:
    expected = ops.align2nat(x, pad_value=-6.0)
    np.testing.assert_array_equal(operator(x, 1, pad_value=-6.0), expected)


@pytest.mark.parametrize("operator", [ops.up_bilinear, ops.up_nearest, ops.subsample])
def test_lam_1_is_the_identity(x: Any, operator: Callable[..., Any]) -> None:
    np.testing.assert_array_equal(operator(x, 1), x)


@pytest.mark.parametrize("border", ["pad", "edge"])
def test_swap_is_up_align2nat_then_subsample(x: Any, border: Any) -> None:
    fine = ops.up_align2nat(x, 3, pad_value=-6.0, vu_border=border)
    swapped = ops.swap_align2nat(x, 3, pad_value=-6.0, vu_border=border)
    np.testing.assert_allclose(swapped, ops.subsample(fine, 3), atol=1e-12)


def test_subsample_is_a_strided_slice(x: Any) -> None:
    np.testing.assert_array_equal(ops.subsample(x, 3), x[..., ::3, ::3])


def test_up_nearest_repeats(x: Any) -> None:
    np.testing.assert_array_equal(ops.up_nearest(x, 2), x.repeat(2, 1).repeat(2, 2))


def test_up_bilinear_pads_where_asked() -> None:
    out = ops.up_bilinear(np.full((1, 1, 1, 1), 4.0), 2, vu_border="pad")
    np.testing.assert_array_equal(out, np.full((2, 2, 1, 1), 4.0 * 0.75**2))


def test_swap_at_equals_the_dense_windows(x: Any) -> None:
    index = np.array([[1, 2, 3], [0, 0, 0]])
    dense = ops.swap_align2nat(x, 2, pad_value=-6.0)
    sparse = ops.swap_align2nat_at(x, index, 2, pad_value=-6.0)
    np.testing.assert_allclose(sparse[0], dense[1, :, :, 2, 3], atol=1e-12)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3), (2, 0, 3)])
def test_leading_axes_are_kept(batch: tuple[int, ...]) -> None:
    out = ops.swap_align2nat(np.zeros((*batch, 3, 3, 8, 8)), 2)
    assert out.shape == (*batch, 6, 6, 4, 4)


def test_index_has_a_column_per_batch_axis() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 3, 4, 4))
    sparse = ops.swap_align2nat_at(x, np.array([[1, 2, 0, 1]]), 2)
    np.testing.assert_allclose(sparse[0], ops.swap_align2nat(x, 2)[1, 2, :, :, 0, 1], atol=1e-12)


def test_index_without_batch_axes() -> None:
    x = np.random.default_rng(0).normal(size=(3, 3, 4, 4))
    sparse = ops.swap_align2nat_at(x, np.array([[1, 1]]), 2)
    np.testing.assert_allclose(sparse[0], ops.swap_align2nat(x, 2)[..., 1, 1], atol=1e-12)


def test_narrow_index_counts_large_batches() -> None:
    x = np.arange(3 * 100.0).reshape(3, 100, 1, 1, 1, 1)
    index = np.array([[2, 99, 0, 0]], np.int8)
    assert ops.swap_align2nat_at(x, index, 1).item() == 299


def test_assemble_copies_each_cell_from_its_own_map() -> None:
    maps = np.arange(4.0).reshape(2, 2, 1, 1) + np.zeros((2, 2, 9, 9))
    mask = ops.assemble(maps, 4)[:, :, 4, 4]
    np.testing.assert_array_equal(mask, np.array([[0, 1], [2, 3]]).repeat(2, 0).repeat(2, 1))


def test_assemble_reads_the_pixel_of_the_cell() -> None:
    maps = np.random.default_rng(0).normal(size=(3, 3, 9, 9))
    assert ops.assemble(maps, 3)[0, 2, 4, 4] == maps[0, 2, 3, 5]


def test_channels_are_rows_of_cells() -> None:
    x = np.arange(6.0).reshape(6, 1, 1)
    np.testing.assert_array_equal(ops.from_channels(x, (2, 3))[1, :, 0, 0], [3, 4, 5])


def test_channels_come_back(x: Any) -> None:
    np.testing.assert_array_equal(ops.from_channels(ops.to_channels(x), (3, 5)), x)
