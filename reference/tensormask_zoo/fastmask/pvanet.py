"""PVANet (Kim et al., 2016) up to its fourth stage: the body of the fast FastMask."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tensormask_zoo.fastmask.bodies import NormLayer, StreamBody

group_norm: NormLayer = partial(nn.GroupNorm, 8)  # divides the channels of every layer


class PreActivated(nn.Module):
    """A residual block of PVANet: normalise and rectify, then the paths, plus the input itself.

    Where the channels change or there is a stride, the input passes a 1x1 projection.

    Args:
        c_in: channels of the input.
        c_out: channels of the result.
        paths: run on the activated input with a stride; returns ``c_out`` channels.
        norm: makes the normalisation of that many channels; None leaves the activation out.
        projected: project the input.
    """

    def __init__(
        self, c_in: int, c_out: int, paths: nn.Module, *, norm: NormLayer | None, projected: bool
    ) -> None:
        super().__init__()
        self.activate = nn.Sequential(norm(c_in), nn.ReLU()) if norm else nn.Identity()
        self.paths = paths
        self.projection = nn.Conv2d(c_in, c_out, 1) if projected else None

    def forward(self, x: Tensor, stride: int = 1) -> Tensor:
        """Return (N, c_out, ceil(H/stride), ceil(W/stride))."""
        y: Tensor = self.paths(self.activate(x), stride)
        return y + (x if self.projection is None else self.projection(_every(x, stride)))


class CReluPath(nn.Module):
    """mC.ReLU: 1x1, then 3x3 whose result and its negative are both rectified, then 1x1."""

    def __init__(self, c_in: int, hidden: int, c_out: int, *, norm: NormLayer) -> None:
        super().__init__()
        self.reduce = _conv(c_in, hidden, 1, norm)
        self.crelu = CRelu(nn.Conv2d(hidden, hidden, 3, padding=1, bias=False), norm=norm)
        self.expand = nn.Conv2d(2 * hidden, c_out, 1)

    def forward(self, x: Tensor, stride: int) -> Tensor:
        """Return (N, c_out, ceil(H/stride), ceil(W/stride))."""
        y: Tensor = self.expand(self.crelu(self.reduce(_every(x, stride))))
        return y


class CRelu(nn.Module):
    """A convolution followed by C.ReLU: x and -x, each with its own scale and shift, rectified.

    Normalising x and -x together is normalising x and then scaling both.
    """

    def __init__(self, conv: nn.Conv2d, *, norm: NormLayer) -> None:
        super().__init__()
        self.conv = conv
        self.norm = norm(2 * conv.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return twice as many channels as the convolution has."""
        y = self.conv(x)
        both: Tensor = self.norm(torch.cat([y, -y], dim=1))
        return both.relu()


class InceptionPaths(nn.Module):
    """The Inception block of stage 4: 1x1, 3x3 and two 3x3 (and pooling), joined by a 1x1.

    Args:
        c_in: channels of the input.
        reduced: channels before the 3x3 of the second path: 48 in the first block, else 64.
        pooled: add the path of 3x3 max pooling, as the block with a stride does.
        norm: makes the normalisation of that many channels.
    """

    def __init__(self, c_in: int, *, reduced: int, pooled: bool, norm: NormLayer) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [
                _conv(c_in, 64, 1, norm),
                nn.Sequential(_conv(c_in, reduced, 1, norm), _conv(reduced, 128, 3, norm)),
                nn.Sequential(
                    _conv(c_in, 24, 1, norm), _conv(24, 48, 3, norm), _conv(48, 48, 3, norm)
                ),
            ]
        )
        self.pooled = _conv(c_in, 128, 1, norm) if pooled else None
        self.join = nn.Conv2d(64 + 128 + 48 + 128 * pooled, 256, 1)

    def forward(self, x: Tensor, stride: int) -> Tensor:
        """Return (N, 256, ceil(H/stride), ceil(W/stride))."""
        strided = _every(x, stride)
        paths = [conv(strided) for conv in self.convs]
        if self.pooled is not None:
            around = F.max_pool2d(x, 3, stride, padding=1)
            paths.append(self.pooled(around))
        joined: Tensor = self.join(torch.cat(paths, dim=1))
        return joined


class StridedStage(nn.Module):
    """Blocks of which the first has a stride; ``last`` follows them."""

    def __init__(self, blocks: Sequence[nn.Module], *, last: nn.Module, stride: int = 1) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.last = last
        self.stride = stride

    def forward(self, x: Tensor, stride: int | None = None) -> Tensor:
        """Return the map of the stage; its own stride may be replaced."""
        for k, block in enumerate(self.blocks):
            x = block(x, (stride or self.stride) if k == 0 else 1)
        y: Tensor = self.last(x)
        return y


def pvanet_body(*, norm: NormLayer = group_norm, branches: Sequence[int] = (2, 3)) -> StreamBody:
    """Return PVANet 9.1 up to conv4_4, cut like ResNet-39 (zoo-facts 4.5).

    FastMask's own cut is not known: stage 4 has stride 16 and runs once per stream, from the map
    of stage 3 at stride 8. The activation that would start stage 5 ends the body.

    Example:
        >>> [tuple(x.shape) for x in pvanet_body()(torch.zeros(1, 3, 48, 64))]
        [(1, 256, 3, 4), (1, 256, 2, 3)]
    """
    stem = CRelu(nn.Conv2d(3, 16, 7, stride=2, padding=3, bias=False), norm=norm)
    lower = nn.Sequential(
        stem,
        nn.MaxPool2d(3, stride=2, padding=1),
        _crelu_stage(32, 24, 64, blocks=3, stride=1, norm=norm),
        _crelu_stage(64, 48, 128, blocks=4, stride=2, norm=norm),
    )
    blocks = [
        PreActivated(
            256 if k else 128,
            256,
            InceptionPaths(256 if k else 128, reduced=64 if k else 48, pooled=k == 0, norm=norm),
            norm=norm,
            projected=k == 0,
        )
        for k in range(4)
    ]
    upper = StridedStage(blocks, last=nn.Sequential(norm(256), nn.ReLU()))
    return StreamBody(lower, upper, stride=8, channels=256, branches=branches)


def _crelu_stage(
    c_in: int, hidden: int, c_out: int, *, blocks: int, stride: int, norm: NormLayer
) -> StridedStage:
    """Return mC.ReLU blocks; the very first of the network (stride 1) is not pre-activated."""
    stage = []
    for k in range(blocks):
        before = c_out if k else c_in
        path = CReluPath(before, hidden, c_out, norm=norm)
        activated = norm if k or stride > 1 else None
        stage.append(PreActivated(before, c_out, path, norm=activated, projected=k == 0))
    return StridedStage(stage, last=nn.Identity(), stride=stride)


def _conv(c_in: int, c_out: int, size: int, norm: NormLayer) -> nn.Sequential:
    conv = nn.Conv2d(c_in, c_out, size, padding=size // 2, bias=False)
    return nn.Sequential(conv, norm(c_out), nn.ReLU(inplace=True))


def _every(x: Tensor, stride: int) -> Tensor:
    """Return every ``stride``-th node: what a 1x1 convolution of that stride reads."""
    return x if stride == 1 else x[:, :, ::stride, ::stride]
