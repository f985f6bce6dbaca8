"""Borders of DeepMask's convolutions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tensormask_zoo.deepmask.padding import BorderConv2d, pad_border, with_border


@pytest.mark.parametrize("border", ["symmetric", "reflect"])
@pytest.mark.parametrize("sides", [(1, 1, 1, 1), (3, 3, 3, 3), (0, 2, 3, 1), (0, 0, 0, 0)])
def test_borders_are_numpys(border: str, sides: tuple[int, int, int, int]) -> None:
    x = torch.rand(2, 3, 5, 6)
    left, right, top, bottom = sides
    expected = np.pad(x.numpy(), ((0, 0), (0, 0), (top, bottom), (left, right)), mode=border)
    assert np.array_equal(pad_border(x, sides, border).numpy(), expected)  # type: ignore[arg-type]  # any string


def test_a_map_smaller_than_its_border_is_mirrored_again() -> None:
    x = torch.arange(3.0).reshape(1, 1, 1, 3)
    expected = np.pad(x.numpy(), ((0, 0), (0, 0), (0, 0), (10, 7)), mode="symmetric")
    assert np.array_equal(pad_border(x, (10, 7, 0, 0), "symmetric").numpy(), expected)


def edge_of(network: nn.Module) -> float:
    """What a network that keeps constants makes of the corner of a constant image."""
    with torch.no_grad():
        found: Tensor = network(torch.ones(1, 1, 8, 8))
    return float(found[0, 0, 0, 0])


def test_a_constant_image_has_no_edge() -> None:
    conv = nn.Conv2d(1, 1, 7, padding=3, bias=False)
    nn.init.constant_(conv.weight, 1 / 49)
    network = nn.Sequential(conv)
    assert edge_of(network) < 0.4
    assert edge_of(with_border(network, "symmetric")) == pytest.approx(1)


def test_only_padded_convolutions_change_and_keep_their_parameters() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Sequential(nn.Conv2d(2, 2, 3, padding=1)))
    before = dict(network.named_parameters())
    with_border(network, "symmetric")
    after = dict(network.named_parameters())
    assert all(after[name] is before[name] for name in before | after)
    assert not isinstance(network[0], BorderConv2d)
    assert isinstance(network[1][0], BorderConv2d)


def test_strides_and_groups_stay() -> None:
    conv = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2)
    padded = with_border(nn.Sequential(conv), "symmetric")
    x = torch.rand(1, 4, 9, 9)
    inside = (..., slice(1, -1), slice(1, -1))
    assert torch.allclose(padded(x)[inside], conv(x)[inside], atol=1e-6)
    assert padded(x).shape == conv(x).shape


def test_an_unknown_border_is_refused() -> None:
    with pytest.raises(ValueError, match="border expects one of zeros, symmetric, reflect"):
        with_border(nn.Sequential(), "wrap")  # type: ignore[arg-type]  # the point
