"""Trunks: networks that turn an image into one feature map per stride."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models import ResNet
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.resnet import BasicBlock

STEM = "stem"  # the map of stride 2, in the dict that a trunk returns


class SmallTrunk(nn.Module):
    """A small residual network to train from scratch on a CPU.

    A 3x3 stem of stride 2, then one stage of basic blocks per entry of ``widths``, each halving
    the resolution: strides 4, 8, 16, ...

    Args:
        stem: channels of the stem.
        widths: channels of each stage.
        blocks: basic blocks per stage.

    Returns:
        From ``forward``, a dict of maps: ``"stem"`` (stride 2), then ``"0"``, ``"1"``, ...

    Example:
        >>> import torch
        >>> maps = SmallTrunk()(torch.zeros(1, 3, 64, 64))
        >>> {name: tuple(x.shape[1:]) for name, x in maps.items()}["3"]
        (96, 2, 2)
    """

    def __init__(
        self, *, stem: int = 16, widths: Sequence[int] = (32, 48, 64, 96), blocks: int = 2
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(inplace=True),
        )
        before = (stem, *widths)
        self.stages = nn.ModuleList(
            _stage(c_in, c_out, blocks) for c_in, c_out in zip(before, widths, strict=False)
        )
        self.stem_channels = stem
        self.widths = tuple(widths)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # as torchvision's ResNet; its blocks alone do not
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the maps of (N, 3, H, W) normalised images."""
        maps = {STEM: self.stem(images)}
        x = maps[STEM]
        for k, stage in enumerate(self.stages):
            x = stage(x)
            maps[str(k)] = x
        return maps


class ResNetTrunk(nn.Module):
    """A torchvision ResNet without its classifier: maps of stride 2 and 4, 8, 16, 32.

    Args:
        resnet: the network; its weights are kept.
        trainable_stages: how many of the last stages train; 5 trains the stem too.
    """

    def __init__(self, resnet: ResNet, *, trainable_stages: int = 3) -> None:
        super().__init__()
        stages = ["layer4", "layer3", "layer2", "layer1", "conv1"][:trainable_stages]
        trained = (*stages, "bn1") if trainable_stages == 5 else tuple(stages)
        for name, parameter in resnet.named_parameters():
            parameter.requires_grad_(name.startswith(trained) if trained else False)
        wanted = {"relu": STEM, "layer1": "0", "layer2": "1", "layer3": "2", "layer4": "3"}
        self.body = IntermediateLayerGetter(resnet, return_layers=wanted)
        widest = resnet.fc.in_features
        self.stem_channels = resnet.conv1.out_channels
        self.widths = (widest // 8, widest // 4, widest // 2, widest)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the maps of (N, 3, H, W) normalised images."""
        maps: dict[str, Tensor] = self.body(images)
        return maps


def _stage(c_in: int, c_out: int, blocks: int) -> nn.Sequential:
    shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride=2, bias=False), nn.BatchNorm2d(c_out))
    first = BasicBlock(c_in, c_out, stride=2, downsample=shortcut)
    return nn.Sequential(first, *(BasicBlock(c_out, c_out) for _ in range(blocks - 1)))
