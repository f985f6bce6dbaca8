"""Trunks: networks that turn an image into one feature map per stride."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Literal

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

STEM = "stem"  # the map of stride 2, in the dict that a trunk returns
MAPS = {"relu": STEM, "layer1": "0", "layer2": "1", "layer3": "2", "layer4": "3"}
RESNETS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
}
"""Block and blocks per stage of each depth (He et al. 2015, Table 1)."""


class SmallTrunk(nn.Module):
    """A small residual network to train from scratch on a CPU.

    A 3x3 stem of stride 2, then one stage of basic blocks per entry of ``widths``, each halving
    the resolution: strides 4, 8, 16, ...

    Args:
        stem: channels of the stem.
        widths: channels of each stage.
        blocks: basic blocks per stage.
        stem_stride: 1 halves all strides, here and below.
        norm: makes the normalisation of that many channels.

    Returns:
        From ``forward``, a dict of maps: ``"stem"`` (stride 2), then ``"0"``, ``"1"``, ...

    Example:
        >>> import torch
        >>> maps = SmallTrunk()(torch.zeros(1, 3, 64, 64))
        >>> {name: tuple(x.shape[1:]) for name, x in maps.items()}["3"]
        (96, 2, 2)
    """

    def __init__(
        self,
        *,
        stem: int = 16,
        widths: Sequence[int] = (32, 48, 64, 96),
        blocks: int = 2,
        stem_stride: int = 2,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem, 3, stride=stem_stride, padding=1, bias=False),
            norm(stem),
            nn.ReLU(inplace=True),
        )
        before = (stem, *widths)
        self.stages = nn.ModuleList(
            _stage(BasicBlock, *sides, blocks, norm=norm)
            for sides in zip(before, widths, strict=False)
        )
        self.stem_channels = stem
        self.widths = tuple(widths)
        _init_convolutions(self)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the maps of (N, 3, H, W) normalised images."""
        maps = {STEM: self.stem(images)}
        x = maps[STEM]
        for k, stage in enumerate(self.stages):
            x = stage(x)
            maps[str(k)] = x
        return maps


class ResNetTrunk(nn.Module):
    """A ResNet without its classifier: maps of stride 2 and 4, 8, 16, 32.

    Args:
        resnet: torchvision's, or :func:`resnet`'s; its weights are kept.
        trainable_stages: how many of the last stages train; 5 trains the stem too.
    """

    def __init__(self, resnet: nn.Module, *, trainable_stages: int = 3) -> None:
        super().__init__()
        layers = dict(resnet.named_children())
        kept = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
        self.body = nn.ModuleDict({name: layers[name] for name in kept})
        stages = ["layer4", "layer3", "layer2", "layer1", "conv1"][:trainable_stages]
        trained = (*stages, "bn1") if trainable_stages == 5 else tuple(stages)
        for name, layer in self.body.items():
            layer.requires_grad_(name in trained)
        self.stem_channels = _channels_of(layers["conv1"])
        self.widths = tuple(_channels_of(layers[f"layer{k}"]) for k in (1, 2, 3, 4))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the maps of (N, 3, H, W) normalised images."""
        maps, x = {}, images
        for name, layer in self.body.items():
            x = layer(x)
            if name in MAPS:
                maps[MAPS[name]] = x
        return maps


def resnet(
    depth: int,
    *,
    norm_layer: Callable[[int], nn.Module] = nn.BatchNorm2d,
    stride_in: Literal["3x3", "1x1"] = "3x3",
    stem: int = 64,
    planes: Sequence[int] = (64, 128, 256, 512),
) -> nn.Module:
    """Return a ResNet without classifier, of torchvision's blocks and with its names.

    Args:
        depth: a key of :data:`RESNETS`.
        norm_layer: makes the normalisation of that many channels.
        stride_in: the convolution of a bottleneck that halves the resolution: "3x3" as in
            torchvision, or the first "1x1" as in the paper and the weights made with Caffe, which
            Detectron and detectron2 start from.
        stem: channels of the stem.
        planes: channels of the 3x3 convolutions of each stage; a bottleneck returns four times
            as many.

    Raises:
        ValueError: there is no ResNet of that depth, or an unknown ``stride_in``.

    Example:
        >>> trunk = ResNetTrunk(resnet(50, stride_in="1x1", stem=16, planes=(8, 16, 32, 64)))
        >>> trunk.widths
        (32, 64, 128, 256)
    """
    if depth not in RESNETS:
        raise ValueError(f"depth expects one of {', '.join(map(str, RESNETS))}, got {depth}")
    if stride_in not in ("3x3", "1x1"):
        raise ValueError(f"stride_in expects '3x3' or '1x1', got {stride_in!r}")
    block, blocks = RESNETS[depth]
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False),
        bn1=norm_layer(stem),
        relu=nn.ReLU(inplace=True),
        maxpool=nn.MaxPool2d(3, stride=2, padding=1),
    )
    c_in = stem
    for k, count in enumerate(blocks):
        stage = _stage(block, c_in, planes[k], count, stride=1 if k == 0 else 2, norm=norm_layer)
        if stride_in == "1x1" and block is Bottleneck:
            _move_stride(stage[0])
        layers[f"layer{k + 1}"] = stage
        c_in = planes[k] * block.expansion
    network = nn.Sequential(layers)
    _init_convolutions(network)
    return network


def _move_stride(block: Any) -> None:
    """Move the stride of a bottleneck from its 3x3 convolution to the 1x1 before it."""
    block.conv1.stride, block.conv2.stride = block.conv2.stride, (1, 1)


def _channels_of(layer: nn.Module) -> int:
    """Return the output channels of a layer that ends in a convolution."""
    *_, last = (m for m in layer.modules() if isinstance(m, nn.Conv2d))
    return last.out_channels


def _init_convolutions(network: nn.Module) -> None:
    """Initialise as torchvision's ResNet does; its blocks alone do not."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _stage(
    block: type[BasicBlock] | type[Bottleneck],
    c_in: int,
    planes: int,
    count: int,
    *,
    stride: int = 2,
    norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
) -> nn.Sequential:
    c_out = planes * block.expansion
    shortcut = None
    if stride != 1 or c_in != c_out:
        conv = nn.Conv2d(c_in, c_out, 1, stride=stride, bias=False)
        shortcut = nn.Sequential(conv, norm(c_out))
    first = block(c_in, planes, stride, shortcut, norm_layer=norm)
    others = (block(c_out, planes, norm_layer=norm) for _ in range(count - 1))
    return nn.Sequential(first, *others)
