"""RLE of windows and of dense masks against pycocotools on full images."""

from __future__ import annotations

import sys
import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tensormask_core.errors import LayoutError
from tensormask_core.masks import decode, encode, mask_iou, paste, rle_iou, windows_to_rle

coco = pytest.importorskip("pycocotools.mask")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # pycocotools, numpy 2

Array = npt.NDArray[Any]


def full_image_rle(
    windows: Array, boxes: Any, image_size: tuple[int, int], threshold: float
) -> list[Any]:
    masks = paste(windows, boxes, image_size, threshold=threshold)
    return [coco.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks]


def random_masks(count: int, height: int, width: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).random((count, height, width)) > 0.4


def test_random_windows_equal_full_image() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        height, width, cells_v, cells_u = rng.integers(1, (40, 40, 7, 7))
        windows = rng.random((25, cells_v, cells_u)).astype(np.float32)
        low = rng.uniform(-30, 45, (25, 2)) if rng.random() < 0.5 else rng.integers(-9, 9, (25, 2))
        boxes = np.concatenate([low, low + rng.uniform(-2, 60, (25, 2))], axis=1)
        expected = full_image_rle(windows, boxes, (height, width), 0.4)
        assert windows_to_rle(windows, boxes, (height, width), threshold=0.4) == expected


@pytest.mark.parametrize(
    "box",
    [
        pytest.param((-9, -9, -2, -2), id="outside"),
        pytest.param((20, 20, 30, 30), id="outside at the end"),
        pytest.param((0, 0, 9, 7), id="full image"),
        pytest.param((-50, -50, 60, 60), id="more than the image"),
        pytest.param((2, 0, 5, 7), id="full columns"),
        pytest.param((7, 0, 9, 7), id="full columns at the end"),
        pytest.param((0, 0, 1, 7), id="first column"),
        pytest.param((0, 2, 9, 3), id="one row"),
        pytest.param((4, 3, 5, 4), id="one pixel"),
        pytest.param((0, 0, 1, 1), id="first pixel"),
        pytest.param((8, 6, 9, 7), id="last pixel"),
        pytest.param((3, 3, 3, 5), id="no area"),
    ],
)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_borders_equal_full_image(box: Any, value: float) -> None:
    windows = np.full((1, 2, 2), value)
    expected = full_image_rle(windows, [box], (7, 9), 0.6)
    assert windows_to_rle(windows, [box], (7, 9), threshold=0.6) == expected


@given(bits=st.lists(st.booleans(), min_size=12, max_size=12), wide=st.booleans())
def test_any_pattern_over_the_whole_image_equals_full_image(bits: list[bool], wide: bool) -> None:
    size = (3, 4) if wide else (6, 2)
    windows = np.reshape(bits, (1, *size)).astype(float)
    box = [(0, 0, size[1], size[0])]
    assert windows_to_rle(windows, box, size) == encode(np.reshape(bits, (1, *size)))


def test_small_windows_need_less_than_one_image() -> None:
    rng, image_size = np.random.default_rng(1), (1200, 1800)
    windows, low = rng.random((20, 15, 15)).astype(np.float32), rng.uniform(0, 1100, (20, 2))
    boxes = np.concatenate([low, low + 60], axis=1)
    windows_to_rle(windows, boxes, image_size)
    tracemalloc.start()
    found = windows_to_rle(windows, boxes, image_size)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 20
    assert peak < 1200 * 1800 / 2


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_torch_windows(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    windows = torch.rand((3, 4, 4), generator=torch.Generator().manual_seed(0))
    windows = windows.to(getattr(torch, dtype)).requires_grad_()
    boxes = torch.tensor([[0.0, 1, 8, 9], [-3, 2, 5, 5], [4, 4, 20, 20]])
    expected = full_image_rle(windows.detach().float().numpy(), boxes.numpy(), (10, 12), 0.5)
    assert windows_to_rle(windows, boxes, (10, 12)) == expected


def test_threshold_is_closed() -> None:
    (rle,) = windows_to_rle(np.full((1, 1, 1), 0.5), [[0, 0, 1, 1]], (1, 1), threshold=0.5)
    assert decode([rle]).all()


def test_no_windows() -> None:
    assert windows_to_rle(np.zeros((0, 3, 3)), np.zeros((0, 4)), (4, 4)) == []


def test_encode_equals_pycocotools_one_by_one() -> None:
    masks = random_masks(4, 6, 9)
    expected = [coco.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks]
    assert encode(masks) == expected
    assert encode(masks * 200.0) == expected


def test_decode_inverts_encode() -> None:
    masks = random_masks(4, 6, 9)
    found = decode(encode(masks))
    assert found.dtype == bool
    assert_array_equal(found, masks)


def test_nothing_to_encode_or_decode() -> None:
    assert encode(np.zeros((0, 4, 4))) == []
    assert decode([]).shape == (0, 0, 0)


@pytest.mark.parametrize("crowd", [None, [True, False, True]])
def test_rle_iou_equals_dense(crowd: list[bool] | None) -> None:
    a, b = random_masks(2, 8, 9), random_masks(3, 8, 9, seed=1)
    assert_allclose(rle_iou(encode(a), encode(b), crowd), mask_iou(a, b, crowd=crowd), rtol=1e-6)


def test_rle_iou_of_nothing() -> None:
    assert rle_iou([], encode(random_masks(2, 3, 3))).shape == (0, 2)
    assert rle_iou(encode(random_masks(2, 3, 3)), []).shape == (2, 0)


def test_wrong_arguments_are_named() -> None:
    rle, box = encode(random_masks(1, 3, 3)), [[0, 0, 1, 1]]
    with pytest.raises(LayoutError, match=r"one image size, got \[\(3, 3\), \(4, 3\)\]"):
        decode(rle + encode(random_masks(1, 4, 3)))
    with pytest.raises(LayoutError, match="1 RLEs in b and 2 crowd"):
        rle_iou(rle, rle, [True, False])
    with pytest.raises(LayoutError, match="threshold above 0, got 0"):
        windows_to_rle(np.ones((1, 2, 2)), box, (3, 3), threshold=0)
    with pytest.raises(LayoutError, match=r"windows \(K, V, U\), got shape \(2, 2\)"):
        windows_to_rle(np.ones((2, 2)), box, (3, 3))
    with pytest.raises(LayoutError, match=r"masks \(N, H, W\), got shape \(2, 2\)"):
        encode(np.ones((2, 2)))


def test_missing_pycocotools_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(ImportError, match=r"pip install 'tensormask-core\[masks\]'"):
        encode(random_masks(1, 3, 3))
