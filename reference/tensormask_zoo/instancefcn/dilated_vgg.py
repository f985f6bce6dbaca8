"""VGG with holes: a finer stride at the same weights (InstanceFCN, section 3.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torchvision
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

Pool = Literal["3x3", "2x2"]
POOLS: dict[Pool, Callable[[], nn.Module]] = {
    "3x3": lambda: nn.MaxPool2d(3, stride=1, padding=1),
    # Padded by 0, the least that a ReLU leaves.
    "2x2": lambda: nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(2, stride=1)),
}
"""Pooling that keeps the resolution. The paper gives no kernel: "3x3" stays centred, as usual with
holes; "2x2" is the trained kernel, which looks half a node to the right and below."""


class DilatedVGG(nn.Module):
    """VGG's convolutions with the pooling beyond ``stride`` taken out and holes put in.

    The last pooling goes with the classifier. Those between it and ``stride`` keep the resolution,
    and the convolutions after each read every second node as many times ("hole algorithm"), so
    that weights of the original network mean the same here.

    A node covers the ``stride`` x ``stride`` px that were pooled into it: node (y, x) is centred on
    the pixel point ``stride * (y + 1/2, x + 1/2)``.

    Args:
        features: convolutions, ReLUs and poolings of a torchvision VGG; changed in place.
        stride: a power of two; 8 in the paper.
        pool: kernel of a pooling that has lost its stride.

    Raises:
        ValueError: there are not that many poolings, or an unknown ``pool``.

    Example:
        >>> import torch
        >>> trunk = DilatedVGG(vgg_features([8, "M", 8, "M", 8, "M", 8, "M", 8, "M"]))
        >>> trunk(torch.zeros(1, 3, 64, 96)).shape
        torch.Size([1, 8, 8, 12])
    """

    def __init__(self, features: nn.Sequential, *, stride: int = 8, pool: Pool = "3x3") -> None:
        super().__init__()
        if pool not in POOLS:
            raise ValueError(f"pool expects '3x3' or '2x2', got {pool!r}")
        self.stride = stride
        self.features = _with_holes(features, stride, POOLS[pool])
        self.channels = _convolutions(self.features)[-1].out_channels

    def forward(self, images: Tensor) -> Tensor:
        """Return the map (N, channels, H / stride, W / stride) of (N, 3, H, W) images."""
        features: Tensor = self.features(images)
        return features


def vgg_features(
    layers: list[str | int], *, norm: Callable[[int], nn.Module] | None = None
) -> nn.Sequential:
    """Return untrained layers of a VGG: channels of 3x3 convolutions, and "M" for a pooling.

    Args:
        layers: what torchvision calls a configuration.
        norm: makes the normalisation of that many channels, behind each convolution.

    Example:
        >>> len(vgg_features([8, "M", 16, "M"]))
        6
    """
    made = make_layers(layers, batch_norm=norm is not None)
    features = nn.Sequential(
        *(norm(x.num_features) if norm and isinstance(x, nn.BatchNorm2d) else x for x in made)
    )
    for conv in _convolutions(features):
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]  # torchvision's have one
    return features


def vgg16_features(weights: Any = None, *, progress: bool = True) -> nn.Sequential:
    """Return the 13 convolutions of VGG-16, with torchvision's weights of that name or untrained.

    Without weights the classifier, nine tenths of the parameters, is not even made.
    """
    if weights is None:
        return vgg_features(cfgs["D"])
    vgg = torchvision.models.get_model("vgg16", weights=weights, progress=progress)
    features: nn.Sequential = vgg.features
    return features


def _with_holes(
    features: nn.Sequential, stride: int, pool: Callable[[], nn.Module]
) -> nn.Sequential:
    """Take out the last pooling, and the strides of those that would exceed ``stride``."""
    layers = list(features)
    pools = [at for at, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    kept = stride.bit_length() - 1
    if stride != 2**kept or kept >= len(pools):
        raise ValueError(
            f"stride expects a power of two below {2 ** len(pools)}, as there are {len(pools)} "
            f"poolings of which the last is left out; got {stride}"
        )
    for at in pools[kept:-1]:
        layers[at] = pool()
        for conv in _convolutions(layers[at:]):
            conv.dilation = conv.padding = (2 * conv.dilation[0], 2 * conv.dilation[1])
    return nn.Sequential(*layers[: pools[-1]])


def _convolutions(layers: Any) -> list[nn.Conv2d]:
    return [layer for layer in layers if isinstance(layer, nn.Conv2d)]
