"""Doubled maps, and convolutions that read them without making them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tensormask_zoo.sharpmask.doubling import convolve_doubled, doubled, ringed
from tensormask_zoo.sharpmask.window_crops import box_around, crop_windows


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_nearest_doubling_repeats_cells() -> None:
    x = torch.rand(2, 3, 4, 5)
    found = doubled(x, "nearest")
    for row in (0, 1):
        for column in (0, 1):
            assert torch.equal(found[..., row::2, column::2], x)


def test_bilinear_doubling_mixes_neighbours_three_to_one() -> None:
    found = doubled(torch.tensor([0.0, 4.0]).expand(1, 1, 2, 2), "bilinear")
    assert found[0, 0, 0].tolist() == [0, 1, 3, 4]


@pytest.mark.parametrize("upsample", ["bilinear", "nearest"])
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 3)])
@pytest.mark.parametrize(("channels", "out"), [(1, 1), (3, 2)])
def test_a_convolution_of_the_map_is_that_of_the_doubled_map(
    upsample: Any, size: tuple[int, int], channels: int, out: int
) -> None:
    x = torch.rand(2, channels, *size, dtype=torch.float64)
    weight, bias = torch.randn(out, channels, 3, 3).double(), torch.randn(out).double()
    expected = F.conv2d(F.pad(doubled(x, upsample), (1, 1, 1, 1), mode="replicate"), weight, bias)
    assert torch.allclose(convolve_doubled(x, weight, bias, upsample), expected)
    without_bias = expected - bias[:, None, None]
    assert torch.allclose(convolve_doubled(x, weight, None, upsample), without_bias)


def test_no_windows_have_no_result() -> None:
    found = convolve_doubled(torch.zeros(0, 2, 3, 4), torch.zeros(5, 2, 3, 3), None, "bilinear")
    assert found.shape == (0, 5, 6, 8)


def test_a_ring_repeats_the_edge() -> None:
    x = torch.rand(2, 3, 1, 4).contiguous(memory_format=torch.channels_last)
    assert torch.equal(ringed(x), F.pad(x, (1, 1, 1, 1), mode="replicate"))


def test_crops_are_laid_out_as_their_map() -> None:
    rows, index = torch.rand(3, 8, 10), torch.tensor([[0, 1], [2, 3]])
    last = rows.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    one, other = (crop_windows(x, index, side=4, step=2) for x in (rows, last))
    assert torch.equal(one, other)
    assert one.is_contiguous()
    assert other.is_contiguous(memory_format=torch.channels_last)


def test_windows_keep_their_place_in_the_box_around_them() -> None:
    x, index = torch.rand(2, 12, 14), torch.tensor([[3, 1], [2, 4], [4, 2]])
    box = box_around(x, index, side=3, step=2)
    assert torch.equal(box, x[:, 4:11, 2:11])
    found = crop_windows(box, index - index.amin(0), side=3, step=2)
    assert torch.equal(found, crop_windows(x, index, side=3, step=2))
