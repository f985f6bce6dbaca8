"""paste against a loop over pixels and against torch's grid_sample."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tensormask_core.errors import LayoutError
from tensormask_core.masks import paste
from tensormask_core.masks.paste import paste_regions

Array = npt.NDArray[Any]


def paste_oracle(window: Any, box: Any, image_size: tuple[int, int]) -> Array:
    """Bilinear value of one window at each pixel centre, 0 outside."""
    (x0, y0, x1, y1), (cells_v, cells_u) = box, window.shape
    image = np.zeros(image_size)
    if x1 <= x0 or y1 <= y0:
        return image
    for r, c in itertools.product(*map(range, image_size)):
        v = (r + 0.5 - y0) / (y1 - y0) * cells_v - 0.5
        u = (c + 0.5 - x0) / (x1 - x0) * cells_u - 0.5
        below = (math.floor(v), math.floor(u))
        for i, j in itertools.product(*((n, n + 1) for n in below)):
            if 0 <= i < cells_v and 0 <= j < cells_u:
                image[r, c] += window[i, j] * (1 - abs(v - i)) * (1 - abs(u - j))
    return image


def random_case(
    count: int, window: Any, image_size: tuple[int, int], seed: int = 0
) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    low = rng.uniform(-0.5, 1, (count, 2)) * image_size[::-1]
    boxes = np.concatenate([low, low + rng.uniform(0.1, 1.5, (count, 2)) * image_size[::-1]], 1)
    return rng.random((count, *window)).astype(np.float32), boxes


COORDINATE = st.one_of(st.integers(-8, 16).map(float), st.floats(-8, 16, width=32))


@given(
    box=st.tuples(COORDINATE, COORDINATE, COORDINATE, COORDINATE),
    window=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
def test_matches_oracle(box: Any, window: Any) -> None:
    values = np.random.default_rng(0).random((1, *window))
    found = paste(values, [box], (7, 9))
    assert found.shape == (1, 7, 9)
    assert_allclose(found[0], paste_oracle(values[0], box, (7, 9)), atol=1e-9)


def test_matches_grid_sample() -> None:
    torch = pytest.importorskip("torch")
    (height, width), (windows, boxes) = (24, 36), random_case(30, (15, 11), (24, 36))
    x0, y0, x1, y1 = (torch.from_numpy(side)[:, None] for side in boxes.T)
    grid_y = (torch.arange(height) + 0.5 - y0) / (y1 - y0) * 2 - 1
    grid_x = (torch.arange(width) + 0.5 - x0) / (x1 - x0) * 2 - 1
    grid = torch.stack(
        [grid_x[:, None, :].expand(-1, height, -1), grid_y[:, :, None].expand(-1, -1, width)], 3
    )
    expected = torch.nn.functional.grid_sample(
        torch.from_numpy(windows).double()[:, None], grid, padding_mode="zeros", align_corners=False
    )
    assert_allclose(paste(windows, boxes, (height, width)), expected[:, 0].numpy(), atol=1e-5)


def test_equals_the_published_paste(shared_dir: Path) -> None:
    golden = np.load(shared_dir / "golden" / "tensormask_d2_outputs.npz")
    boxes, shape = golden["eval_det0_anchors"], golden["eval_final0_masks_shape"]
    bits = np.unpackbits(golden["eval_final0_masks_packed"])[: shape.prod()]
    expected = bits.reshape(shape).astype(bool)
    for k, (x0, _, x1, _) in enumerate(boxes):
        window = golden[f"eval_det0_mask{k:02d}"]
        if len(window) == round((x1 - x0) / 4):  # the largest windows were stored thinned out
            found = paste(window[None], boxes[k : k + 1], shape[1:].tolist(), threshold=0.5)
            assert_array_equal(found[0], expected[k])


@pytest.mark.gpu
def test_cuda_agrees() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    windows, boxes = random_case(8, (5, 6), (30, 20))
    found = paste(torch.from_numpy(windows).cuda(), torch.from_numpy(boxes).cuda(), (30, 20))
    assert found.device.type == "cuda"
    assert_allclose(found.cpu().numpy(), paste(windows, boxes, (30, 20)), atol=1e-6)


def test_whole_pixel_cells_are_copied() -> None:
    window = np.random.default_rng(1).random((1, 3, 4))
    image = paste(window, [[2, 1, 6, 4]], (5, 7))[0]
    assert_allclose(image, np.pad(window[0], ((1, 1), (2, 1))), atol=1e-12)


def test_threshold_is_closed() -> None:
    assert paste(np.full((1, 1, 1), 0.5), [[0, 0, 1, 1]], (1, 1), threshold=0.5).tolist() == [
        [[True]]
    ]


def test_threshold_agrees_with_values() -> None:
    windows, boxes = random_case(20, (5, 6), (30, 20))
    found = paste(windows, boxes, (30, 20), threshold=0.4)
    assert found.dtype == bool
    assert_array_equal(found, paste(windows, boxes, (30, 20)) >= 0.4)


def test_a_threshold_below_zero_holds_beyond_the_window() -> None:
    assert paste(np.zeros((1, 1, 1)), [[0, 0, 1, 1]], (3, 4), threshold=0.0).all()


@pytest.mark.parametrize("chunk", [1, 500, 10**9])
def test_chunks_change_nothing(chunk: int) -> None:
    windows, boxes = random_case(12, (5, 6), (30, 20))
    found = paste_regions(windows, boxes, (30, 20), None, chunk)
    assert_array_equal(found, paste_regions(windows, boxes, (30, 20), None))


@pytest.mark.parametrize("box", [(3, 3, 3, 5), (5, 2, 1, 4), (1, 4, 4, 4), (50, 50, 60, 60)])
def test_boxes_without_pixels_are_empty(box: Any) -> None:
    windows = np.ones((1, 3, 3))
    assert not paste(windows, [box], (8, 8)).any()
    assert not paste(windows, [box], (8, 8), threshold=0.5).any()


def test_no_windows() -> None:
    assert paste(np.zeros((0, 3, 3), np.float32), [], (4, 5)).shape == (0, 4, 5)
    assert paste(np.zeros((0, 3, 3)), [], (4, 5), threshold=0.5).dtype == bool


@pytest.mark.parametrize(
    ("given_dtype", "found_dtype"),
    [("float16", "float32"), ("float32", "float32"), ("float64", "float64"), ("bool", "float32")],
)
def test_dtype(given_dtype: str, found_dtype: str) -> None:
    assert paste(np.ones((1, 2, 2), given_dtype), [[0, 0, 2, 2]], (3, 3)).dtype == found_dtype


@pytest.mark.parametrize("library", ["torch", "array_api_strict", "jax.numpy"])
@pytest.mark.parametrize("threshold", [None, 0.5])
def test_libraries_agree(library: str, threshold: float | None) -> None:
    xp = pytest.importorskip(library)
    windows, boxes = random_case(8, (5, 6), (30, 20))
    found = paste(xp.asarray(windows), xp.asarray(boxes), (30, 20), threshold=threshold)
    assert type(found) is type(xp.asarray(windows))
    expected = paste(windows, np.asarray(xp.asarray(boxes)), (30, 20), threshold=threshold)
    assert_allclose(np.asarray(found), expected, atol=1e-6)


def test_torch_gradient_flows_and_autocast_does_not_round() -> None:
    torch = pytest.importorskip("torch")
    windows, boxes = random_case(3, (5, 6), (30, 20))
    leaf = torch.from_numpy(windows).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pasted = paste(leaf, boxes, (30, 20))
    pasted.sum().backward()
    assert_allclose(pasted.detach().numpy(), paste(windows, boxes, (30, 20)), atol=1e-6)
    assert leaf.grad.abs().sum() > 0


WINDOWS, BOXES = np.ones((2, 3, 3)), np.zeros((2, 4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((WINDOWS[0], BOXES, (4, 4)), r"windows \(K, V, U\), got shape \(3, 3\)"),
        ((WINDOWS, BOXES[:1], (4, 4)), "2 windows and 1 boxes"),
        ((WINDOWS, BOXES[:, :3], (4, 4)), r"got shape \(2, 3\)"),
        ((WINDOWS, BOXES + np.inf, (4, 4)), "finite boxes"),
        ((WINDOWS, BOXES, (0, 4)), r"got \(0, 4\)"),
        ((WINDOWS, BOXES, (4.5, 4)), r"got \(4.5, 4\)"),
        ((np.ones((2, 0, 3)), BOXES, (4, 4)), r"got \(0, 3\)"),
    ],
)
def test_wrong_arguments_are_named(arguments: Any, message: str) -> None:
    with pytest.raises(LayoutError, match=message):
        paste(*arguments)
