"""Tight boxes and mask IoU against loops."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tensormask_core.errors import LayoutError
from tensormask_core.masks import mask_iou, tight_boxes

LIBRARIES = ["numpy", "torch", "array_api_strict", "jax.numpy"]

Array = npt.NDArray[Any]


def random_masks(count: int, height: int, width: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).random((count, height, width)) > 0.6


def box_oracle(mask: Array) -> list[int]:
    rows, cols = np.nonzero(mask)
    return [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1] if rows.size else [0] * 4


def iou_oracle(a: Array, b: Array, crowd: bool = False) -> float:
    common, union = np.sum(a & b), np.sum(a) if crowd else np.sum(a | b)
    return common / union if union else 0


@given(st.lists(st.booleans(), min_size=24, max_size=24))
def test_boxes_match_oracle(bits: list[bool]) -> None:
    masks = np.reshape(bits, (2, 3, 4))
    assert_array_equal(tight_boxes(masks), [box_oracle(mask) for mask in masks])


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "float32"])
def test_boxes_of_libraries_agree(library: str, dtype: str) -> None:
    xp, masks = pytest.importorskip(library), random_masks(5, 6, 7)
    masks[1] = False
    found = tight_boxes(xp.asarray(masks.astype(dtype)))
    assert type(found) is type(xp.asarray(masks))
    assert_array_equal(np.asarray(found), [box_oracle(mask) for mask in masks])


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_boxes_of_empty_masks(shape: tuple[int, ...]) -> None:
    assert_array_equal(tight_boxes(np.zeros(shape)), np.zeros((shape[0], 4)))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("crowd", [None, [False, True, True]])
def test_iou_matches_oracle(library: str, crowd: list[bool] | None) -> None:
    xp, a, b = pytest.importorskip(library), random_masks(2, 5, 6), random_masks(3, 5, 6, seed=1)
    a[0] = b[2] = False
    found = mask_iou(xp.asarray(a), xp.asarray(b), crowd=crowd)
    flags = crowd or [False] * 3
    expected = [[iou_oracle(x, y, flag) for y, flag in zip(b, flags, strict=True)] for x in a]
    assert_allclose(np.asarray(found), expected, rtol=1e-6)


def test_iou_is_summed_over_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = random_masks(2, 9, 11), random_masks(3, 9, 11, seed=1)
    whole = mask_iou(a, b)
    monkeypatch.setattr(importlib.import_module("tensormask_core.masks.geometry"), "BLOCK", 10)
    assert_array_equal(mask_iou(a, b), whole)


def test_iou_counts_pixels_under_autocast() -> None:
    torch = pytest.importorskip("torch")
    a, b = random_masks(2, 90, 110), random_masks(3, 90, 110, seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = mask_iou(torch.from_numpy(a), torch.from_numpy(b))
    assert_array_equal(found.numpy(), mask_iou(a, b))


@pytest.mark.parametrize("shapes", [((0, 3, 4), (2, 3, 4)), ((2, 3, 4), (0, 3, 4))])
def test_iou_of_no_masks(shapes: Any) -> None:
    assert mask_iou(np.zeros(shapes[0]), np.zeros(shapes[1])).shape == (shapes[0][0], shapes[1][0])


def test_iou_of_empty_images() -> None:
    assert_array_equal(mask_iou(np.zeros((2, 0, 4)), np.zeros((1, 0, 4))), [[0], [0]])


def test_wrong_arguments_are_named() -> None:
    masks = random_masks(2, 3, 4)
    with pytest.raises(LayoutError, match=r"masks \(N, H, W\), got shape \(3, 4\)"):
        tight_boxes(masks[0])
    with pytest.raises(LayoutError, match=r"one image size, got \(2, 3, 4\) and \(2, 3, 3\)"):
        mask_iou(masks, masks[:, :, 1:])
    with pytest.raises(LayoutError, match="2 masks in b and 1 crowd"):
        mask_iou(masks, masks, crowd=[True])


def test_mixed_libraries_are_refused() -> None:
    torch, masks = pytest.importorskip("torch"), random_masks(2, 3, 4)
    with pytest.raises(TypeError):
        mask_iou(torch.from_numpy(masks), masks)
