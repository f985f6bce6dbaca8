"""FastMask's bodies: shapes, counts, and streams that share every weight."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from tensormask_zoo.fastmask.bodies import (
    ResidualLayers,
    StreamBody,
    resnet39_body,
    small_body,
    vgg16_body,
)
from tensormask_zoo.fastmask.pvanet import (
    CRelu,
    CReluPath,
    InceptionPaths,
    PreActivated,
    pvanet_body,
)
from tensormask_zoo.trunk import resnet

BODIES: dict[str, tuple[Any, int, int]] = {
    "resnet39": (resnet39_body, 1024, 8_512_768 + 30_592),  # zoo-facts 4.2: with the bias of conv1
    "vgg16": (vgg16_body, 512, 14_714_688),
    "pvanet": (pvanet_body, 256, 1_059_696 + 8_336),  # zoo-facts 4.5 by hand: layers, norms
}


def on_meta(name: str) -> StreamBody:
    with torch.device("meta"):
        body: StreamBody = BODIES[name][0]()
    return body


@pytest.mark.parametrize("name", BODIES)
def test_a_body_has_its_number_of_parameters(name: str) -> None:
    assert sum(p.numel() for p in on_meta(name).parameters()) == BODIES[name][2]


@pytest.mark.parametrize("name", BODIES)
def test_the_streams_have_strides_16_and_24(name: str) -> None:
    body = on_meta(name)
    maps = body(torch.zeros(1, 3, 344, 600, device="meta"))
    channels = BODIES[name][1]
    assert body.strides == (16, 24)
    assert [tuple(x.shape) for x in maps] == [(1, channels, 22, 38), (1, channels, 15, 25)]


@pytest.mark.parametrize("name", BODIES)
def test_a_stream_can_be_left_out(name: str) -> None:
    maps = on_meta(name)(torch.zeros(1, 3, 64, 64, device="meta"), 1)
    assert [tuple(x.shape[2:]) for x in maps] == [(4, 4)]


@pytest.mark.parametrize("stride_in", ["3x3", "1x1"])
def test_the_stage_at_its_own_stride_is_that_of_the_network(stride_in: Any) -> None:
    torch.manual_seed(0)
    network = resnet(50, stride_in=stride_in, stem=8, planes=(4, 8, 16, 32)).eval()
    stage: Any = network.get_submodule("layer3")
    x = torch.rand(1, 32, 9, 10)
    with torch.no_grad():
        assert torch.allclose(ResidualLayers(stage)(x, 2), stage(x), atol=1e-6)


def test_a_stride_in_the_first_1x1_reads_every_third_node() -> None:
    torch.manual_seed(0)
    network = resnet(50, stride_in="1x1", stem=8, planes=(4, 8, 16, 32)).eval()
    layers = ResidualLayers(network.get_submodule("layer3"))
    x = torch.rand(1, 32, 9, 10)
    with torch.no_grad():
        assert torch.allclose(layers(x, 3), layers(x[:, :, ::3, ::3], 1), atol=1e-6)


def test_pooling_instead_of_striding_is_at_hand() -> None:
    torch.manual_seed(0)
    stage: Any = resnet(50, stem=8, planes=(4, 8, 16, 32)).eval().get_submodule("layer3")
    pooling, striding = (ResidualLayers(stage, branching=b) for b in ("pool", "stride"))
    x = torch.rand(1, 32, 9, 10)
    with torch.no_grad():
        pooled = F.max_pool2d(x, 3, ceil_mode=True)
        assert torch.allclose(pooling(x, 3), striding(pooled, 1), atol=1e-6)
    with pytest.raises(ValueError, match="branching expects 'stride' or 'pool', got 'fork'"):
        ResidualLayers(stage, branching="fork")


def test_the_first_stream_of_vgg_is_vgg_itself() -> None:
    torch.manual_seed(0)
    body = vgg16_body().eval()
    network = nn.Sequential(*body.lower, nn.MaxPool2d(2), *body.upper.layers)
    with torch.device("meta"):
        names = [type(m).__name__ for m in torchvision.models.vgg16().features[:30]]
    x = torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        assert torch.allclose(body(x)[0], network(x), atol=1e-6)
    assert [type(m).__name__ for m in network] == names


def plain(_: int) -> nn.Module:
    return nn.Identity()


def test_crelu_rectifies_a_result_and_its_negative() -> None:
    conv = nn.Conv2d(3, 4, 3, padding=1)
    x = torch.randn(1, 3, 5, 6)
    up, down = CRelu(conv, norm=plain)(x).chunk(2, dim=1)
    assert torch.equal(up - down, conv(x))
    assert not (up * down).any()


def test_inception_pools_the_largest_of_three_by_three() -> None:
    paths = InceptionPaths(4, reduced=48, pooled=True, norm=plain)
    paths.join = nn.Identity()
    x = torch.rand(1, 4, 7, 8)
    around = F.unfold(F.pad(x, (1, 1, 1, 1), value=-1), 3, stride=2).view(1, 4, 9, 4, 4)
    with torch.no_grad():
        found = paths(x, 2)
        assert found.shape == (1, 64 + 128 + 48 + 128, 4, 4)
        assert torch.allclose(found[:, -128:], paths.pooled(around.amax(dim=2)), atol=1e-6)


@pytest.mark.parametrize("stride", [2, 3])
def test_a_block_adds_its_projected_input(stride: int) -> None:
    path = CReluPath(3, 4, 5, norm=plain)
    block = PreActivated(3, 5, path, norm=plain, projected=True)
    x = torch.randn(1, 3, 7, 8)
    with torch.no_grad():
        projected = F.conv2d(x, block.projection.weight, block.projection.bias, stride)
        assert torch.allclose(block(x, stride), path(x.relu(), stride) + projected, atol=1e-6)


def test_a_frozen_norm_keeps_its_statistics_in_training() -> None:
    body = resnet39_body().train()
    norms = [m for m in body.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(m.training for m in norms)
    assert sum(p.numel() for m in norms for p in m.parameters() if not p.requires_grad) == 30_592


def test_weights_keep_the_first_convolution_and_gain_a_bias_of_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded = torchvision.models.resnet50()
    monkeypatch.setattr(torchvision.models, "get_model", lambda *_, **__: loaded)
    stem = resnet39_body(weights="DEFAULT").lower[0]
    assert torch.equal(stem.weight, loaded.conv1.weight)
    assert not stem.bias.any()


def test_weights_of_vgg_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        loaded = torchvision.models.vgg16()
    monkeypatch.setattr(torchvision.models, "get_model", lambda *_, **__: loaded)
    body = vgg16_body(weights="DEFAULT")
    assert body.lower[0] is loaded.features[0]
    assert body.upper.layers[4] is loaded.features[28]


def test_weights_of_another_variant_are_refused() -> None:
    with pytest.raises(ValueError, match="stride_in expects '3x3' with torchvision's weights"):
        resnet39_body(weights="DEFAULT", stride_in="1x1")


def test_every_parameter_of_both_streams_learns() -> None:
    torch.manual_seed(0)
    for body in (small_body(), pvanet_body()):
        found = body(torch.rand(2, 3, 64, 64))
        (found[0].square().mean() + found[1].square().mean()).backward()
        assert [n for n, p in body.named_parameters() if p.grad is None or not p.grad.any()] == []
