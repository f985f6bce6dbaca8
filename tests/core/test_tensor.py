"""Mask tensors: units, representations and what they lead to."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from tensormask_core import Aligned, Natural, Units, ops


@pytest.fixture
def coarse() -> Aligned[Any]:
    data = np.random.default_rng(0).normal(size=(2, 3, 3, 8, 6))
    return Aligned(data, sigma_vu=8, sigma_hw=4)


def test_properties(coarse: Aligned[Any]) -> None:
    assert coarse.units == Units(8, 4)
    assert coarse.alpha == 2
    assert coarse.shape == (2, 3, 3, 8, 6)
    assert coarse.window_size == (3, 3)
    assert coarse.window_extent == (24, 24)


def test_method_is_the_same_transform_said_with_units(coarse: Aligned[Any]) -> None:
    masks = coarse.swap_align2nat(2, pad_value=-6.0)
    said = coarse.natural(sigma_vu=4, sigma_hw=8, pad_value=-6.0)
    np.testing.assert_array_equal(masks.data, said.data)
    assert masks.units == said.units == Units(4, 8)


def test_align2nat_uses_alpha(coarse: Aligned[Any]) -> None:
    np.testing.assert_array_equal(coarse.align2nat().data, ops.align2nat(coarse.data, 2))


def test_nat2align_undoes_align2nat_inside(coarse: Aligned[Any]) -> None:
    inside = (..., slice(2, -2), slice(2, -2))
    back = coarse.align2nat().nat2align()
    np.testing.assert_array_equal(back.data[inside], coarse.data[inside])


def test_conversion_to_itself_changes_nothing(coarse: Aligned[Any]) -> None:
    np.testing.assert_array_equal(coarse.aligned().data, coarse.data)


def test_up_align2nat_matches_the_plain_operator() -> None:
    x = np.random.default_rng(0).normal(size=(3, 3, 8, 6))
    masks = Aligned(x, sigma_vu=8, sigma_hw=4).up_align2nat(2, pad_value=1.0)
    np.testing.assert_array_equal(masks.data, ops.up_align2nat(x, 2, pad_value=1.0))
    assert masks.units == Units(4, 4)


@pytest.mark.parametrize("kind", [Natural, Aligned])
def test_up_keeps_the_representation(kind: Any) -> None:
    masks = kind(np.ones((10, 10, 2, 2)), sigma_vu=6, sigma_hw=4).up(1.5)
    assert type(masks) is kind
    assert masks.shape == (15, 15, 2, 2)
    np.testing.assert_array_equal(masks.data, 1)


def test_up_nearest_repeats() -> None:
    x = np.arange(2.0).reshape(2, 1, 1, 1)
    masks = Natural(x, sigma_vu=4, sigma_hw=4).up(2, mode="nearest")
    np.testing.assert_array_equal(masks.data[:, 0, 0, 0], [0, 0, 1, 1])


def test_subsample_keeps_every_other_window(coarse: Aligned[Any]) -> None:
    masks = coarse.subsample(2)
    np.testing.assert_array_equal(masks.data, coarse.data[..., ::2, ::2])
    assert masks.units == Units(8, 8)


@pytest.mark.parametrize("kind", [Natural, Aligned])
def test_windows_are_natural_masks(kind: Any) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 8, 6))
    masks = kind(x, sigma_vu=8, sigma_hw=4)
    sparse = masks.windows(np.array([[1, 2, 1]]), sigma_vu=4, sigma_hw=8, pad_value=-6.0)
    dense = masks.natural(sigma_vu=4, sigma_hw=8, pad_value=-6.0).data
    np.testing.assert_allclose(sparse[0], dense[1, :, :, 2, 1], atol=1e-12)


def test_mask_tensors_are_frozen(coarse: Aligned[Any]) -> None:
    with pytest.raises(AttributeError):
        coarse.sigma_vu = 3  # type: ignore[misc]  # meant


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_mask_tensors_can_be_copied(coarse: Aligned[Any], duplicate: Any) -> None:
    other = duplicate(coarse)
    assert type(other) is Aligned
    np.testing.assert_array_equal(other.data, coarse.data)


def test_torch_trees_look_into_mask_tensors() -> None:
    torch = pytest.importorskip("torch")
    pytree = pytest.importorskip("torch.utils._pytree")
    masks = Natural(torch.zeros(1, 1, 2, 2), sigma_vu=4, sigma_hw=8)
    moved = pytree.tree_map(lambda t: t + 1, masks)
    assert (type(moved), moved.units) == (Natural, Units(4, 8))
    assert float(moved.data.min()) == 1
