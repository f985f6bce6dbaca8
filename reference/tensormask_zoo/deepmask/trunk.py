"""Trunks of DeepMask: stages that each begin by halving the resolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torchvision
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from tensormask_zoo.deepmask.padding import Border, with_border
from tensormask_zoo.trunk import SmallTrunk

Norm = Literal["frozen", "batch"]
NORMS: dict[str, Any] = {"frozen": FrozenBatchNorm2d, "batch": nn.BatchNorm2d}


class Trunk(nn.Module):
    """Stages in a row, each with half the resolution of the one before.

    Args:
        stages: the first has stride 2, as seen from the image.
        widths: output channels of each stage.
        border: what lies beyond the border in the convolutions.

    Attributes:
        widths: output channels, coarsest first: the order of what ``forward`` returns.
        stride: of the coarsest map, ``2 ** P`` where the papers count P poolings.
    """

    def __init__(
        self, stages: Sequence[nn.Module], *, widths: Sequence[int], border: Border = "zeros"
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(with_border(stage, border) for stage in stages)
        self.widths = tuple(widths)[::-1]
        self.stride: int = 2 ** len(self.stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps of (N, 3, H, W) normalised images, coarsest first.

        They are the features that SharpMask refines with: the last before each pooling.
        """
        maps = [images]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[:0:-1]


def vgg_a_trunk(
    *, border: Border = "zeros", weights_backbone: Any = None, progress: bool = True
) -> Trunk:
    """Return the 8 convolutions of VGG-A, without its last pooling: P4, D8.

    Example:
        >>> sum(p.numel() for p in vgg_a_trunk().parameters())
        9220480
    """
    network = torchvision.models.vgg11(weights=weights_backbone, progress=progress)
    layers = list(network.features)[:-1]
    pools = [k for k, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    starts, ends = [0, *pools[1:]], [*pools[1:], len(layers)]
    stages = [nn.Sequential(*layers[a:b]) for a, b in zip(starts, ends, strict=True)]
    return Trunk(stages, widths=(128, 256, 512, 512), border=border)


def resnet50_trunk(
    *,
    stages: int = 3,
    border: Border = "symmetric",
    norm: Norm | None = None,
    weights_backbone: Any = None,
    progress: bool = True,
) -> Trunk:
    """Return ResNet-50 without its last stages.

    Args:
        stages: 3 ends with res4 (P4, D39), 2 with res3 (P3, D21).
        border: what lies beyond the border in the convolutions; deep trunks are trained on
            patches and need another than zeros to serve on whole images (SharpMask, section 5).
        norm: "frozen" keeps the statistics of the weights as in the released code, "batch"
            trains. By default "frozen" with weights, else "batch".
        weights_backbone: torchvision weights or their name, None for none.
        progress: show the download.

    Raises:
        ValueError: an unknown ``norm``.

    Example:
        >>> trunk = resnet50_trunk(stages=2, norm="frozen")
        >>> trunk.stride, sum(p.numel() for p in trunk.parameters())
        (8, 1434816)
    """
    norm = norm or ("frozen" if weights_backbone else "batch")
    if norm not in NORMS:
        raise ValueError(f"norm expects 'frozen', 'batch' or None, got {norm!r}")
    network = torchvision.models.resnet50(
        weights=weights_backbone, progress=progress, norm_layer=NORMS[norm]
    )
    layers = dict(network.named_children())
    stem = nn.Sequential(layers["conv1"], layers["bn1"], layers["relu"])
    first = nn.Sequential(layers["maxpool"], layers["layer1"])
    more = [layers[f"layer{k}"] for k in range(2, stages + 1)]
    widths = (64, 256, 512, 1024)[: stages + 1]
    return Trunk([stem, first, *more], widths=widths, border=border)


def small_trunk(
    *, stem: int = 16, widths: Sequence[int] = (32, 64), border: Border = "symmetric"
) -> Trunk:
    """Return a trunk of one basic block per entry of ``widths``, to train on a CPU."""
    network = SmallTrunk(stem=stem, widths=widths, blocks=1)
    return Trunk([network.stem, *network.stages], widths=(stem, *widths), border=border)
