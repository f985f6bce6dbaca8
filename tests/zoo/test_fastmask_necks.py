"""FastMask's four necks: what each does to a map."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tensormask_zoo.fastmask.necks import NECKS, ConvolutionalNeck, make_neck

PARAMETERS = {"max": 0, "average": 0, "feed_forward": 2_622_720, "residual": 2_622_720}


def picture(channels: int = 6, size: tuple[int, int] = (8, 10)) -> Tensor:
    return torch.rand(1, channels, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NECKS)
def test_a_neck_has_the_published_number_of_parameters(name: str) -> None:
    neck = make_neck(name, 1024)
    assert sum(p.numel() for p in neck.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", NECKS)
@pytest.mark.parametrize(("side", "half"), [(1, 1), (2, 1), (5, 3), (8, 4)])
def test_a_neck_halves_a_map_and_rounds_up(name: str, side: int, half: int) -> None:
    assert make_neck(name, 6)(picture(size=(side, 9))).shape == (1, 6, half, 5)


def test_the_average_keeps_the_mean_and_the_maximum_raises_it() -> None:
    x = picture()
    assert torch.allclose(make_neck("average", 6)(x).mean(), x.mean())
    assert make_neck("max", 6)(x).mean() > x.mean() + 0.2


def test_an_odd_border_averages_the_cells_that_there_are() -> None:
    x = picture(size=(3, 4))
    assert torch.allclose(make_neck("average", 6)(x)[0, :, 1, 0], x[0, :, 2, :2].mean(dim=1))


def pooled(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2, ceil_mode=True)


def test_the_residual_neck_is_the_published_sum() -> None:
    neck, x = ConvolutionalNeck(6, hidden=4), picture(size=(5, 7))
    expected = (pooled(x) + pooled(neck.convs(x))).relu()
    assert torch.allclose(neck(x), expected, atol=1e-6)


def test_the_feed_forward_neck_leaves_the_map_itself_out() -> None:
    neck, x = ConvolutionalNeck(6, hidden=4, residual=False), picture()
    assert torch.allclose(neck(x), pooled(neck.convs(x)).relu(), atol=1e-6)


def test_a_residual_neck_of_small_weights_starts_as_the_average() -> None:
    neck, x = ConvolutionalNeck(6, hidden=4), picture()
    for parameter in neck.parameters():
        torch.nn.init.normal_(parameter, std=1e-5)
    assert torch.allclose(neck(x), make_neck("average", 6)(x), atol=1e-4)


def test_an_unknown_neck_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match=r"neck expects one of max, average, .* got 'giraffe'"):
        make_neck("giraffe", 8)
