"""A level's features on the finest grid, whole or in a part of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tensormask_zoo.tensormask.mask_design import Upsample
from tensormask_zoo.tensormask.regions import Region, Span


def scale_to(finest: Sequence[int], level: Sequence[int]) -> int:
    """Return the power of two by which a level (H_k, W_k) covers the finest grid (H, W)."""
    scale = 1
    while level[0] * scale < finest[0] or level[1] * scale < finest[1]:
        scale *= 2
    return scale


def bring_to(finest: Tensor, features: Tensor, nodes: Upsample) -> Tensor:
    """Upsample ``features`` by the power of two that covers ``finest``, cropped to its extent."""
    height, width = finest.shape[-2:]
    scale = scale_to((height, width), features.shape[-2:])
    if scale == 1:
        return features
    if nodes == "half_pixel":
        fine = F.interpolate(features, scale_factor=scale, mode="bilinear", align_corners=False)
    else:  # one more node at the end, so that the last one continues up to the border
        more = F.pad(features, (0, 1, 0, 1), mode="replicate")
        size = [side * scale + 1 for side in features.shape[-2:]]
        fine = F.interpolate(more, size=size, mode="bilinear", align_corners=True)
    return fine[..., :height, :width]


def source_of(region: Region, scale: int, extent: Sequence[int]) -> Region:
    """Return which nodes of a level (H_k, W_k) a region of the finest grid is blended from."""
    sides = zip(region, extent, strict=True)
    return Region(*((max(0, a // scale - 1), min(n, (b - 1) // scale + 2)) for (a, b), n in sides))


def bring_part(
    features: Tensor, source: Region, region: Region, scale: int, nodes: Upsample
) -> Tensor:
    """Return ``region`` of what :func:`bring_to` makes of a level.

    Args:
        features: (N, C, h, w), the level in ``source``.
        source: holds :func:`source_of` the region.
        region: of the finest grid.
        scale: of the level.
        nodes: where they lie on the finest grid.
    """
    if scale == 1:
        return region.of(features, source)
    features = features.permute(0, 2, 3, 1)  # nodes are copied whole where channels are last
    for axis, (fine, coarse) in enumerate(zip(region, source, strict=True), start=1):
        features = _bring_axis(features, axis, coarse[0], fine, scale, nodes)
    return features.permute(0, 3, 1, 2)


def _bring_axis(
    features: Tensor, axis: int, first: int, fine: Span, scale: int, nodes: Upsample
) -> Tensor:
    """Blend the nodes ``fine`` of (N, H, W, C) along an axis; the first one is ``first``."""
    drift = (scale - 1) / 2 if nodes == "half_pixel" else 0.0
    x = (torch.arange(*fine, device=features.device) - drift).div(scale).clamp(min=0) - first
    low = x.long().clamp(max=features.shape[axis] - 1)
    high = (low + 1).clamp(max=features.shape[axis] - 1)
    weight = (x - low).to(features.dtype).view(-1, *[1] * (3 - axis))
    below, above = features.index_select(axis, low), features.index_select(axis, high)
    return below.lerp_(above, weight)
