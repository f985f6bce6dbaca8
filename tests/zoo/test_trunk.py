"""ResNets of any width: torchvision's networks, and those with the stride on the 1x1."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from tensormask_zoo.trunk import RESNETS, ResNetTrunk, resnet

NARROW: dict[str, Any] = {"stem": 8, "planes": (4, 8, 8, 16)}


def maps_of(network: nn.Module, size: tuple[int, int] = (64, 96)) -> dict[str, Tensor]:
    with torch.no_grad():
        maps: dict[str, Tensor] = ResNetTrunk(network).eval()(torch.rand(1, 3, *size))
    return maps


@pytest.mark.parametrize("depth", sorted(RESNETS))
def test_a_resnet_has_the_layers_and_names_of_torchvision(depth: int) -> None:
    with torch.device("meta"):
        ours = resnet(depth).state_dict()
        theirs = torchvision.models.get_model(f"resnet{depth}").state_dict()
    shapes = {n: t.shape for n, t in theirs.items() if not n.startswith("fc.")}
    assert {n: t.shape for n, t in ours.items()} == shapes


def test_a_resnet_computes_what_torchvision_does() -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.resnet50().eval()
    ours = resnet(50)
    ours.load_state_dict(theirs.state_dict(), strict=False)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        deepest = ResNetTrunk(ours).eval()(x)["3"]
        expected = theirs.fc(deepest.mean(dim=(2, 3)))
        assert torch.allclose(expected, theirs(x), atol=1e-5)


@pytest.mark.parametrize(("stride_in", "strides"), [("3x3", (1, 2)), ("1x1", (2, 1))])
def test_the_stride_of_a_bottleneck_is_where_it_is_asked_for(
    stride_in: Any, strides: tuple[int, int]
) -> None:
    network: Any = resnet(50, stride_in=stride_in, **NARROW)
    first = network.layer2[0]
    assert (first.conv1.stride[0], first.conv2.stride[0]) == strides
    assert network.layer1[0].conv1.stride == (1, 1)


@pytest.mark.parametrize("stride_in", ["3x3", "1x1"])
def test_each_stage_halves_the_resolution(stride_in: Any) -> None:
    maps = maps_of(resnet(50, stride_in=stride_in, **NARROW))
    extents = {name: tuple(x.shape[-2:]) for name, x in maps.items()}
    assert extents == {"stem": (32, 48), **{str(k): (16 >> k, 24 >> k) for k in range(4)}}


@pytest.mark.parametrize(("depth", "expansion"), [(18, 1), (34, 1), (50, 4)])
def test_a_trunk_knows_the_channels_of_its_maps(depth: int, expansion: int) -> None:
    network = resnet(depth, **NARROW)
    trunk, maps = ResNetTrunk(network), maps_of(network)
    assert trunk.stem_channels == maps["stem"].shape[1] == 8
    assert trunk.widths == tuple(maps[str(k)].shape[1] for k in range(4))
    assert trunk.widths[3] == 16 * expansion


@pytest.mark.parametrize("norm", [FrozenBatchNorm2d, partial(nn.GroupNorm, 4), nn.BatchNorm2d])
def test_every_convolution_of_a_resnet_has_the_normalisation_asked_for(
    norm: Callable[[int], nn.Module],
) -> None:
    network = resnet(50, norm_layer=norm, **NARROW)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    kind = type(norm(8))
    assert sum(isinstance(m, kind) for m in network.modules()) == len(convolutions) == 53


@pytest.mark.parametrize(
    ("options", "message"),
    [({"depth": 20}, "18, 34, 50, 101, got 20"), ({"stride_in": "5x5"}, "'1x1', got '5x5'")],
)
def test_a_resnet_that_does_not_exist_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resnet(**({"depth": 50} | options))
