"""The image pyramid: geometry of its windows, and the best of all scales together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tensormask_zoo.deepmask.pyramid import (
    Level,
    PyramidInference,
    at_scale,
    best_windows,
    grid_of,
    half_octaves,
    surrounded,
    usable_scales,
)


def level(scale: float, height: int, width: int) -> Level:
    return Level(scale, torch.zeros(height, width), torch.zeros(1, height, width))


def test_the_default_pyramid_is_the_released_codes() -> None:
    octaves = [math.log2(s) for s in PyramidInference().scales]
    assert octaves == pytest.approx([-2.5, -2, -1.5, -1, -0.5, 0, 0.5])
    assert len(half_octaves(-2.5, 1)) == 8  # "zoom"


@pytest.mark.parametrize("scale", [0.3, 2**-0.5, 2**0.5, 1])
def test_pixels_scale_by_exactly_the_factor(scale: float) -> None:
    across = torch.arange(100.0).expand(3, 40, 100) + 0.5  # each pixel holds where its centre is
    found = at_scale(across, scale)
    assert found.shape == (3, int(40 * scale), int(100 * scale))
    where = (torch.arange(found.shape[-1]) + 0.5) / scale
    inside = slice(4, -4)
    assert torch.allclose(found[0, 0, inside], where[inside], atol=0.06)


def test_shrinking_averages() -> None:
    fine = (torch.arange(64) % 2).float().expand(3, 64, 64)
    assert torch.allclose(at_scale(fine, 0.25)[..., 2:-2], torch.tensor(0.5), atol=0.05)


@pytest.mark.parametrize(("side", "stride", "window"), [(64, 16, 160), (50, 16, 160), (37, 8, 56)])
def test_windows_are_centred_on_the_nodes_of_the_stride(
    side: int, stride: int, window: int
) -> None:
    image = torch.full((3, side, side), 0.25)
    padded = surrounded(image, window_px=window, stride=stride, surround="grey")
    nodes = (padded.shape[-1] - window) // stride + 1
    assert padded.shape[-1] % stride == 0
    assert nodes == -(-side // stride) + 1
    assert (padded[:, : window // 2] == 0.5).all()
    assert torch.equal(padded[:, window // 2 :, window // 2 :][:, :side, :side], image)


def test_the_mirror_image_may_surround_an_image_smaller_than_a_window() -> None:
    image = torch.rand(3, 6, 20)
    padded = surrounded(image, window_px=64, stride=8, surround="symmetric")
    expected = np.pad(image.numpy(), ((0, 0), (32, 34), (32, 36)), mode="symmetric")
    assert np.array_equal(padded.numpy(), expected)


def test_windows_grow_as_the_image_shrinks() -> None:
    grid = grid_of([level(0.5, 3, 4), level(2.0, 9, 13)], stride=16, window_px=160)
    assert grid.boxes(grid.ravel(0, 1, 2, 0)).tolist() == [64 - 160, 32 - 160, 64 + 160, 32 + 160]
    assert grid.boxes(grid.ravel(1, 0, 0, 0)).tolist() == [-40, -40, 40, 40]


def test_scales_without_a_pixel_are_left_out() -> None:
    scales = PyramidInference().scales
    assert usable_scales(scales, (480, 640)) == list(scales)
    assert usable_scales(scales, (1, 640)) == pytest.approx([1, 2**0.5])
    assert usable_scales((0.25, 0.5), (1, 1)) == [0.5]


def test_an_image_without_a_pixel_left_is_refused() -> None:
    with pytest.raises(ValueError, match=r"image of \(1, 9\) px has no pixel left at scale 0.5"):
        at_scale(torch.zeros(3, 1, 9), 0.5)


@given(
    sizes=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5)), min_size=1, max_size=3),
    count=st.integers(1, 30),
    seed=st.integers(0, 99),
)
def test_the_best_windows_are_those_of_all_scales_together(
    sizes: list[tuple[int, int]], count: int, seed: int
) -> None:
    torch.manual_seed(seed)
    maps = [torch.randint(6, size).float() for size in sizes]  # with ties
    everything = [float(x) for m in maps for x in m.flatten()]
    ranked = sorted(range(len(everything)), key=lambda k: (-everything[k], k))[:count]
    window, scores = best_windows(maps, count)
    assert window.tolist() == ranked
    assert scores.tolist() == [everything[k] for k in ranked]


def published_cell(rank_index: int, width: int) -> tuple[int, int]:
    """The cell, from 0, that the released code takes for the flat index `rank_index` from 0.

    It counts indices from 1 and divides them as if they began at 0.
    """
    one_based = rank_index + 1
    row, column = one_based // width, one_based % width + 1
    return row - 1, column - 1


@given(height=st.integers(2, 9), width=st.integers(2, 9), data=st.data())
def test_the_published_index_slip_is_absent(height: int, width: int, data: Any) -> None:
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    scores = torch.zeros(height, width)
    scores[y, x] = 1
    (window,), _ = best_windows([scores], 1)
    place = grid_of([Level(1, scores, scores[None])], stride=16, window_px=160).unravel([window])
    assert (int(place.y[0]), int(place.x[0])) == (y, x)
    up_and_right = (y - 1, x + 1) if x < width - 1 else (y, 0)
    assert published_cell(int(window), width) == up_and_right
