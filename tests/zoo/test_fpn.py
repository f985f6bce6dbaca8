"""Trunk maps to pyramid levels."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tensormask_zoo.fpn import Backbone, MeanFPN
from tensormask_zoo.towers import conv_tower, prior_bias
from tensormask_zoo.trunk import SmallTrunk


def test_a_level_is_the_mean_of_its_lateral_and_the_level_above() -> None:
    fpn = MeanFPN((1, 1), 1, levels=2)
    for conv in (*fpn.lateral, *fpn.output):
        nn.init.dirac_(conv.weight)
    fine, coarse = torch.rand(1, 1, 4, 6), torch.rand(1, 1, 2, 3)
    expected = (fine + coarse.repeat_interleave(2, -2).repeat_interleave(2, -1)) / 2
    assert torch.allclose(fpn([fine, coarse])[0], expected)


@pytest.mark.parametrize("levels", [1, 3, 4, 6])
def test_there_are_as_many_levels_as_asked_for(levels: int) -> None:
    backbone = Backbone(SmallTrunk(), channels=8, levels=levels)
    maps, _ = backbone(torch.zeros(1, 3, 96, 64))
    assert [tuple(x.shape[1:]) for x in maps] == [
        (8, -(-24 // 2**k), -(-16 // 2**k)) for k in range(levels)
    ]


def test_the_stem_comes_along_at_half_the_image_size() -> None:
    _, stem = Backbone(SmallTrunk(), channels=8, levels=2)(torch.zeros(1, 3, 64, 96))
    assert stem.shape == (1, 16, 32, 48)


def test_odd_maps_are_met_by_the_level_above() -> None:
    fpn = MeanFPN((2, 2), 4, levels=2)
    fine, coarse = fpn([torch.rand(1, 2, 5, 7), torch.rand(1, 2, 3, 4)])
    assert (fine.shape[-2:], coarse.shape[-2:]) == ((5, 7), (3, 4))


def test_towers_without_normalisation_start_as_published() -> None:
    conv = conv_tower(64, 64, 1)[0]
    assert conv.weight.detach().std().item() == pytest.approx(0.01, rel=0.05)
    assert not conv.bias.any()


def test_the_prior_is_the_published_bias() -> None:
    assert prior_bias(0.01) == pytest.approx(-4.595, abs=1e-3)
