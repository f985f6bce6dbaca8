"""Convolutions where they are needed: at a few nodes of a map instead of all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

TILE = 4  # nodes; larger tiles share more of their surroundings, smaller ones waste less


def convs_at(layers: Sequence[nn.Module], x: Tensor, node: Tensor) -> Tensor:
    """Return ``layers`` applied to ``x`` (N, C, H, W), at the nodes (K, 3) n, y, x: (K, C_out).

    The nodes lie in few tiles of the map. Each tile is computed with as much around it as the
    layers look at, unless that is more than the map, or a layer normalises over all of it.

    Args:
        layers: 3x3 convolutions of stride 1 and padding 1, with elementwise layers between them.
        x: the map.
        node: int64, inside the map.
    """
    n, _, h, w = x.shape
    image, row, column = node.T
    reach = sum(isinstance(layer, nn.Conv2d) for layer in layers)
    across = -(-w // TILE)
    key = (image * (-(-h // TILE)) + row // TILE) * across + column // TILE
    tile, which = torch.unique(key, return_inverse=True)
    side = TILE + 2 * reach
    normalises = any(isinstance(layer, nn.GroupNorm) for layer in layers)
    if normalises or len(tile) * side**2 >= n * h * w:
        return _apply(layers, x)[image, :, row, column]
    corner = torch.stack([tile // across % (-(-h // TILE)), tile % across], dim=1) * TILE - reach
    patch, inside = _patches(x, tile // across // (-(-h // TILE)), corner, side)
    y = _apply(layers, patch, inside)
    return y[which, :, row - corner[which, 0], column - corner[which, 1]]


def _apply(layers: Sequence[nn.Module], x: Tensor, inside: Tensor | None = None) -> Tensor:
    """Apply ``layers``; nodes that are not ``inside`` the map are zero for each, as padding is."""
    for k, layer in enumerate(layers):
        if inside is not None and k and isinstance(layer, nn.Conv2d):
            x = x * inside
        x = layer(x)
    return x


def _patches(x: Tensor, image: Tensor, corner: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return parts (T, C, side, side) of ``x``, zero outside, and which nodes are inside."""
    _, _, h, w = x.shape
    step = torch.arange(side, device=x.device)
    rows, columns = (corner[:, axis, None] + step for axis in (0, 1))  # (T, side)
    inside = ((rows >= 0) & (rows < h))[:, :, None] & ((columns >= 0) & (columns < w))[:, None]
    flat = (image[:, None] * h + rows.clamp(0, h - 1))[:, :, None] * w
    flat = flat + columns.clamp(0, w - 1)[:, None]
    # Whole nodes are gathered, channels last, which is fast forth and back.
    table = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
    patch = (
        table.index_select(0, flat.view(-1)).view(*flat.shape, table.shape[1]).permute(0, 3, 1, 2)
    )
    weight = inside[:, None].to(x.dtype)  # (T, 1, side, side)
    return patch * weight, weight
