"""Bodies: networks that branch into streams of different stride with the same weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, cast

import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from tensormask_zoo.instancefcn.dilated_vgg import vgg16_features
from tensormask_zoo.trunk import SmallTrunk, resnet

NormLayer = Callable[[int], nn.Module]
Branching = Literal["stride", "pool"]
VGG16_POOL4 = (
    23  # of torchvision's vgg16().features: below it stride 8, after it conv5_1 to conv5_3
)
VGG16_POOL5 = 30


class StreamBody(nn.Module):
    """A body whose upper layers run once per stream, each time with another stride (5.1).

    Args:
        lower: layers that all streams share the result of.
        upper: called with the map of ``lower`` and a stride; the same weights for each stream.
        stride: of the map of ``lower``, in px.
        channels: of the maps of ``upper``.
        branches: strides of ``upper``, one per stream, finest first.

    Example:
        >>> import torch
        >>> body = small_body(branches=(2, 3))
        >>> [tuple(x.shape) for x in body(torch.zeros(1, 3, 40, 48))], body.strides
        ([(1, 48, 20, 24), (1, 48, 14, 16)], (2, 3))
    """

    def __init__(
        self,
        lower: nn.Module,
        upper: nn.Module,
        *,
        stride: int,
        channels: int,
        branches: Sequence[int] = (2, 3),
    ) -> None:
        super().__init__()
        self.lower, self.upper = lower, upper
        self.stride, self.channels = stride, channels
        self.branches = tuple(branches)

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride of each stream in px."""
        return tuple(self.stride * branch for branch in self.branches)

    def forward(self, images: Tensor, streams: int | None = None) -> list[Tensor]:
        """Return one map per stream, (N, C, ceil(H/stride), ceil(W/stride)).

        Args:
            images: (N, 3, H, W), normalised, both sides a multiple of ``stride``.
            streams: compute only the first so many.
        """
        x = self.lower(images)
        return [self.upper(x, branch) for branch in self.branches[:streams]]


class ResidualLayers(nn.Module):
    """A stage of torchvision's residual blocks whose first block takes its stride per call.

    Args:
        blocks: the stage; its first block has a projection.
        branching: "stride" gives the stride to the block's own strided layers, as the released
            code does; "pool" pools before the stage, as the paper describes it.
    """

    def __init__(self, blocks: nn.Sequential, *, branching: Branching = "stride") -> None:
        super().__init__()
        if branching not in ("stride", "pool"):
            raise ValueError(f"branching expects 'stride' or 'pool', got {branching!r}")
        self.blocks = blocks
        self.branching = branching

    def forward(self, x: Tensor, stride: int) -> Tensor:
        """Return the map of the stage at this stride."""
        if self.branching == "pool":
            x, stride = pool(x, stride), 1
        first, *others = self.blocks
        x = _run_block(first, x, stride)
        for block in others:
            x = block(x)
        return x


class PooledLayers(nn.Module):
    """Layers of stride 1 behind a pooling of the stride of the call."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor, stride: int) -> Tensor:
        """Return the map of the layers at this stride."""
        y: Tensor = self.layers(pool(x, stride))
        return y


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that keeps the statistics, scale and shift of its weights.

    torchvision's has buffers instead of parameters, which published counts include.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> FrozenBatchNorm2d:
        """Stay in evaluation mode."""
        super().train(False)
        return self


def pool(x: Tensor, stride: int) -> Tensor:
    """Return x max pooled by cells of ``stride``, sides rounded up."""
    return F.max_pool2d(x, stride, ceil_mode=True)


def resnet39_body(
    *,
    weights: Any = None,
    progress: bool = True,
    norm: NormLayer = FrozenBatchNorm2d,
    stride_in: Literal["3x3", "1x1"] = "3x3",
    branching: Branching = "stride",
    branches: Sequence[int] = (2, 3),
) -> StreamBody:
    """Return ResNet-50 up to res4, its last stage once per stream (zoo-facts 4.2).

    The first convolution has a bias, as the released network has; it starts at 0.

    Args:
        weights: name of torchvision's ResNet-50 weights, or None.
        progress: show the download.
        norm: makes the normalisation of that many channels.
        stride_in: see :func:`tensormask_zoo.trunk.resnet`; "1x1" is the released network's.
        branching: see :class:`ResidualLayers`.
        branches: see :class:`StreamBody`.

    Raises:
        ValueError: torchvision's weights with the stride in another place than they have it.
    """
    if weights is None:
        layers = dict(resnet(50, norm_layer=norm, stride_in=stride_in).named_children())
    elif stride_in == "3x3":
        layers = dict(
            torchvision.models.get_model(
                "resnet50", weights=weights, progress=progress, norm_layer=norm
            ).named_children()
        )
    else:
        raise ValueError(
            f"stride_in expects '3x3' with torchvision's weights, got {stride_in!r}; "
            "weights_backbone=None builds the other one from scratch"
        )
    stem = _with_bias(cast("nn.Conv2d", layers["conv1"]))
    lower = nn.Sequential(stem, *(layers[k] for k in ("bn1", "relu", "maxpool")))
    lower.extend(layers[k] for k in ("layer1", "layer2"))
    upper = ResidualLayers(cast("nn.Sequential", layers["layer3"]), branching=branching)
    return StreamBody(lower, upper, stride=8, channels=1024, branches=branches)


def vgg16_body(
    *, weights: Any = None, progress: bool = True, branches: Sequence[int] = (2, 3)
) -> StreamBody:
    """Return VGG-16 up to conv5_3; its fourth pooling takes the stride of the stream.

    The paper does not say which layers it kept. These have stride 16 in the first stream, as the
    other bodies, and branch at stride 8 by pooling, as section 5.1 describes it.
    """
    features = vgg16_features(weights, progress=progress)
    upper = PooledLayers(features[VGG16_POOL4 + 1 : VGG16_POOL5])
    return StreamBody(features[:VGG16_POOL4], upper, stride=8, channels=512, branches=branches)


def small_body(
    *, stem: int = 24, channels: int = 48, blocks: int = 3, branches: Sequence[int] = (2, 3)
) -> StreamBody:
    """Return the small trunk with one stage: streams of stride 2 and 3, to train on a CPU.

    Groups are normalised: the streams share weights, but not the statistics of their maps.
    """
    trunk = SmallTrunk(
        stem=stem,
        widths=(channels,),
        blocks=blocks,
        stem_stride=1,
        norm=partial(nn.GroupNorm, 8),
    )
    upper = ResidualLayers(cast("nn.Sequential", trunk.stages[0]))
    return StreamBody(trunk.stem, upper, stride=1, channels=channels, branches=branches)


def _with_bias(conv: nn.Conv2d) -> nn.Conv2d:
    """Return the convolution with a bias of 0."""
    size = cast("tuple[int, int]", conv.kernel_size)
    padding = cast("tuple[int, int]", conv.padding)
    stride = cast("tuple[int, int]", conv.stride)
    biased = nn.Conv2d(conv.in_channels, conv.out_channels, size, stride=stride, padding=padding)
    biased.weight = conv.weight
    nn.init.zeros_(cast("Tensor", biased.bias))
    return biased


def _run_block(block: Any, x: Tensor, stride: int) -> Tensor:
    """Run a basic or bottleneck block, its strided layers with another stride."""
    pairs = [(block.conv1, block.bn1), (block.conv2, block.bn2)]
    if hasattr(block, "conv3"):
        pairs.append((block.conv3, block.bn3))
    y = x
    for k, (conv, norm) in enumerate(pairs):
        y = norm(_run_conv(conv, y.relu() if k else y, stride))
    projection, norm = block.downsample
    return cast("Tensor", y + norm(_run_conv(projection, x, stride))).relu()


def _run_conv(conv: nn.Conv2d, x: Tensor, stride: int) -> Tensor:
    """Run a convolution, with another stride if it has one."""
    if conv.stride == (1, 1):
        return cast("Tensor", conv(x))
    return F.conv2d(x, conv.weight, conv.bias, stride, conv.padding)
