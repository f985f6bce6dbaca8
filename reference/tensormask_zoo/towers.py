"""Towers: the stacks of 3x3 convolutions that a head places on every pyramid level."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

Norm = int | None
"""Groups of the group normalisation after each convolution, or None for no normalisation."""


@dataclass(frozen=True, kw_only=True)
class HeadWidths:
    """Channels and depth of the towers; the defaults are the paper's."""

    class_channels: int = 256
    box_channels: int = 128
    mask_channels: int = 128
    depth: int = 4
    norm_groups: Norm = None
    share_towers: bool = False  # one tower for class and box, to save time on a CPU


def conv_tower(c_in: int, channels: int, depth: int, norm_groups: Norm = None) -> nn.Sequential:
    """Return ``depth`` 3x3 convolutions with ReLU, all of ``channels`` channels.

    Without normalisation it is the paper's tower; group normalisation lets a head train from
    scratch at a high learning rate.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise((c_in, *[channels] * depth)):
        conv = nn.Conv2d(before, after, 3, padding=1, bias=norm_groups is None)
        layers.append(conv)
        if norm_groups is None:
            init_conv(conv)
        else:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            layers.append(nn.GroupNorm(norm_groups, after))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def init_conv(conv: nn.Conv2d, bias: float = 0.0) -> nn.Conv2d:
    """Initialise as the published heads: weights N(0, 0.01), a constant bias."""
    nn.init.normal_(conv.weight, std=0.01)
    if conv.bias is not None:
        nn.init.constant_(conv.bias, bias)
    return conv


def prior_bias(probability: float) -> float:
    """Return the logit of a prior probability; 0.01 gives the published -4.595."""
    return -math.log((1 - probability) / probability)
