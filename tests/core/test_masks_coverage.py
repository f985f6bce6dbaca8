"""crop_and_resize against the overlap of pixel squares and cells, computed one by one."""

from __future__ import annotations

import importlib
import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tensormask_core.errors import LayoutError
from tensormask_core.masks import crop_and_resize
from tensormask_core.masks._spans import groups_by_size

Array = npt.NDArray[Any]


def overlap(low: float, high: float, pixel: int) -> float:
    return max(0.0, min(high, pixel + 1) - max(low, pixel))


def coverage_oracle(mask: Array, box: Any, size: tuple[int, int]) -> Array:
    """Coverage of each cell of one box, pixel by pixel."""
    (x0, y0, x1, y1), (cells_v, cells_u) = box, size
    result = np.zeros(size)
    if x1 <= x0 or y1 <= y0:
        return result
    cell_h, cell_w = (y1 - y0) / cells_v, (x1 - x0) / cells_u
    for v, u, r, c in itertools.product(*map(range, (*size, *mask.shape))):
        rows = overlap(y0 + v * cell_h, y0 + (v + 1) * cell_h, r)
        cols = overlap(x0 + u * cell_w, x0 + (u + 1) * cell_w, c)
        result[v, u] += mask[r, c] * rows * cols / (cell_h * cell_w)
    return result


def random_masks(count: int, height: int, width: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).random((count, height, width)) > 0.4


COORDINATE = st.one_of(st.integers(-6, 14).map(float), st.floats(-6, 14, width=32))
BOX = st.tuples(COORDINATE, COORDINATE, COORDINATE, COORDINATE)


@given(boxes=st.lists(BOX, max_size=4), size=st.tuples(st.integers(1, 5), st.integers(1, 5)))
def test_coverage_matches_oracle(boxes: Any, size: tuple[int, int]) -> None:
    masks = random_masks(3, 7, 9)
    index = np.arange(len(boxes)) % 3
    found = crop_and_resize(masks, np.reshape(boxes, (-1, 4)), size, object=index)
    assert found.dtype == np.float32
    assert found.shape == (len(boxes), *size)
    for k, box in enumerate(boxes):
        sides = (box[2] - box[0], box[3] - box[1])
        if min(sides) > 0.01 or min(sides) <= 0:
            assert_allclose(found[k], coverage_oracle(masks[index[k]], box, size), atol=2e-5)


def test_float_masks_match_oracle() -> None:
    mask = np.random.default_rng(1).random((1, 6, 8))
    box = (-1.5, 0.25, 7.75, 6.5)
    assert_allclose(
        crop_and_resize(mask, [box], (4, 3))[0], coverage_oracle(mask[0], box, (4, 3)), atol=1e-5
    )


def test_whole_pixel_cells_are_exact_block_means() -> None:
    masks = random_masks(1, 128, 96).astype(np.uint8)
    means = masks.reshape(32, 4, 24, 4).mean(axis=(1, 3))
    assert_array_equal(crop_and_resize(masks, [[0, 0, 96, 128]], (32, 24))[0], means)


def test_values_of_uint8_are_averaged_as_they_are() -> None:
    masks = np.full((1, 1000, 40), 255, dtype=np.uint8)
    assert_array_equal(crop_and_resize(masks, [[0, 0, 40, 1000]], (1, 40))[0], [[255] * 40])


def test_each_box_reads_its_object() -> None:
    masks = np.stack([np.zeros((4, 4)), np.ones((4, 4))]).astype(bool)
    found = crop_and_resize(masks, [[0, 0, 4, 4]] * 3, (1, 1), object=[1, 0, 1])
    assert found.reshape(-1).tolist() == [1, 0, 1]


def test_without_object_box_k_reads_mask_k() -> None:
    masks = np.stack([np.zeros((4, 4)), np.ones((4, 4))]).astype(bool)
    assert crop_and_resize(masks, [[0, 0, 4, 4]] * 2, (1, 1)).reshape(-1).tolist() == [0, 1]


def test_groups_of_boxes_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    masks, rng = random_masks(2, 20, 30), np.random.default_rng(2)
    boxes = rng.uniform(-5, 30, (17, 4))
    boxes[:, 2:] = boxes[:, :2] + rng.uniform(1, 30, (17, 2))
    index = rng.integers(0, 2, 17)
    whole = crop_and_resize(masks, boxes, (3, 5), object=index)
    monkeypatch.setattr(importlib.import_module("tensormask_core.masks.coverage"), "BUDGET", 100)
    assert_allclose(crop_and_resize(masks, boxes, (3, 5), object=index), whole, atol=1e-6)


def test_groups_fit_their_budget() -> None:
    sides = np.array([[1.0, 900], [800, 1], [2, 700], [10, 10], [600, 3]])
    groups = list(groups_by_size(sides, 1000))
    assert sorted(np.concatenate(groups)) == [0, 1, 2, 3, 4]
    for group in groups:
        assert len(group) == 1 or len(group) * sides[group].max(axis=0).prod() <= 1000


@pytest.mark.gpu
@pytest.mark.parametrize("outside", ["zero", "ring"])
def test_cuda_agrees(outside: str) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    masks, boxes = random_masks(2, 40, 40), [[0.3, 1.7, 30.1, 39.2], [-8, -4, 48, 44]]
    found = crop_and_resize(torch.from_numpy(masks).cuda(), boxes, (7, 7), outside=outside)
    expected = crop_and_resize(masks, boxes, (7, 7), outside=outside)
    assert found.device.type == "cuda"
    assert_allclose(found.cpu().numpy(), expected, atol=2e-6)


def test_binary_is_closed_at_the_threshold() -> None:
    mask = np.array([[[1, 0, 1, 1], [1, 0, 0, 0]]], dtype=bool)
    found = crop_and_resize(mask, [[0, 0, 4, 2]], (1, 2), soft=False)
    assert found.dtype == bool
    assert found.tolist() == [[[True, True]]]
    assert not crop_and_resize(mask, [[0, 0, 4, 2]], (1, 1), soft=False, threshold=0.6).any()


def test_ring_repeats_one_pixel_beyond_the_edge() -> None:
    mask = np.ones((1, 4, 4), dtype=bool)
    boxes = [[-2, -2, 6, 6]]
    zero = crop_and_resize(mask, boxes, (8, 8))[0]
    ring = crop_and_resize(mask, boxes, (8, 8), outside="ring")[0]
    assert_array_equal(zero, np.pad(np.ones((4, 4)), 2))
    assert_array_equal(ring, np.pad(np.ones((6, 6)), 1))


def test_published_targets_are_block_means_with_the_ring() -> None:
    masks, boxes = random_masks(1, 30, 22), [[-7, -9, 37, 35], [-5, 9, 39, 53], [-6, 2, 38, 46]]
    ringed = np.pad(np.pad(masks[0], 1, mode="edge"), 99)
    found = crop_and_resize(masks, boxes, (11, 11), object=[0, 0, 0], soft=False, outside="ring")
    for k, (x0, y0, x1, y1) in enumerate(boxes):
        block = ringed[100 + y0 : 100 + y1, 100 + x0 : 100 + x1].reshape(11, 4, 11, 4)
        assert_array_equal(found[k], block.mean(axis=(1, 3)) >= 0.5)


def test_published_targets_match_roi_align() -> None:
    torch, ops = pytest.importorskip("torch"), pytest.importorskip("torchvision.ops")
    masks, corner = random_masks(1, 50, 70), np.random.default_rng(3).integers(-40, 60, (40, 2))
    boxes = np.concatenate([corner, corner + 44], axis=1).astype(np.float32)
    image = torch.from_numpy(masks)[None].float()
    expected = ops.roi_align(image, [torch.from_numpy(boxes)], (11, 11), 1.0, 0, aligned=True)
    found = crop_and_resize(masks, boxes, (11, 11), object=np.zeros(40), outside="ring")
    assert_allclose(found, expected[:, 0].numpy(), atol=1e-6)


@pytest.mark.parametrize("shape", [(0, 4, 4), (3, 0, 4), (3, 4, 0)])
def test_empty_masks(shape: tuple[int, ...]) -> None:
    found = crop_and_resize(np.zeros(shape), np.zeros((shape[0], 4)), (2, 3))
    assert_array_equal(found, np.zeros((shape[0], 2, 3)))


def test_no_boxes() -> None:
    assert crop_and_resize(np.ones((2, 4, 4)), [], (2, 3), object=[]).shape == (0, 2, 3)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "float32"])
@pytest.mark.parametrize("library", ["torch", "array_api_strict", "jax.numpy"])
def test_libraries_agree(library: str, dtype: str) -> None:
    xp, rng = pytest.importorskip(library), np.random.default_rng(4)
    masks = random_masks(3, 20, 30).astype(dtype)
    boxes = np.concatenate([rng.uniform(-9, 15, (6, 2)), rng.uniform(15, 40, (6, 2))], axis=1)
    index = rng.integers(0, 3, 6)
    found = crop_and_resize(
        xp.asarray(masks), xp.asarray(boxes), (5, 4), object=xp.asarray(index), outside="ring"
    )
    assert type(found) is type(xp.asarray(masks))
    expected = crop_and_resize(masks, boxes, (5, 4), object=index, outside="ring")
    assert_allclose(np.asarray(found), expected, atol=2e-6)


def test_autocast_does_not_round() -> None:
    torch = pytest.importorskip("torch")
    masks, boxes = random_masks(1, 40, 40), [[0.3, 1.7, 30.1, 39.2]]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = crop_and_resize(torch.from_numpy(masks), boxes, (7, 7))
    assert_allclose(found.numpy(), crop_and_resize(masks, boxes, (7, 7)), atol=2e-6)


MASKS = np.zeros((2, 4, 4), dtype=bool)
BOXES = np.array([[0.0, 0, 2, 2], [0, 0, 4, 4]])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((MASKS[0], BOXES, (2, 2)), {}, r"masks \(N, H, W\), got shape \(4, 4\)"),
        ((MASKS, BOXES[0], (2, 2)), {}, r"boxes \(K, 4\) XYXY in px, got shape \(4,\)"),
        ((MASKS, BOXES * np.nan, (2, 2)), {}, r"finite boxes, got \[nan"),
        ((MASKS, BOXES[:1], (2, 2)), {}, "1 boxes and 2 masks"),
        ((MASKS, BOXES, (2, 0)), {}, r"two positive whole numbers, got \(2, 0\)"),
        ((MASKS, BOXES, (2, 2)), {"object": [0, 2]}, "from 0 to 2"),
        ((MASKS, BOXES, (2, 2)), {"object": [-1, 0]}, "from -1 to 0"),
        ((MASKS, BOXES, (2, 2)), {"object": [0]}, "2 boxes and 1 object"),
        ((MASKS, BOXES, (2, 2)), {"outside": "edge"}, "got 'edge'"),
    ],
)
def test_wrong_arguments_are_named(arguments: Any, options: Any, message: str) -> None:
    with pytest.raises(LayoutError, match=message):
        crop_and_resize(*arguments, **options)
