"""Doubling a map, alone or within the convolution that reads it."""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Upsample = Literal["bilinear", "nearest"]

# Rows 2i - 1 to 2i + 2 of a doubled map, as shares of the rows i - 1, i and i + 1 of the map.
ROWS = {
    "bilinear": ((0.75, 0.25, 0), (0.25, 0.75, 0), (0, 0.75, 0.25), (0, 0.25, 0.75)),
    "nearest": ((1, 0, 0), (0, 1, 0), (0, 1, 0), (0, 0, 1)),
}


def doubled(x: Tensor, upsample: Upsample) -> Tensor:
    """Return maps (N, C, H, W) at twice their size, (N, C, 2H, 2W)."""
    x = x.contiguous()  # enlarging prefers the rows together
    if upsample == "nearest":
        return F.interpolate(x, scale_factor=2, mode="nearest")
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def convolve_doubled(x: Tensor, weight: Tensor, bias: Tensor | None, upsample: Upsample) -> Tensor:
    """Return the 3x3 convolution of doubled maps, with their edge cells repeated around them.

    The doubled map is never made. Rows 2i and 2i + 1 of the result read rows 2i - 1 to 2i + 2 of
    it, which are mixtures of the rows i - 1 to i + 1 of the map; so do columns. Four 3x3
    convolutions of the map, one for each parity of row and column, therefore are the result: as
    many multiply-adds, in one convolution of four times the channels at a quarter of the places.

    Args:
        x: (N, C, H, W).
        weight: (O, C, 3, 3).
        bias: (O,).
        upsample: how maps are doubled.

    Returns:
        (N, O, 2H, 2W), channels last in memory.

    Example:
        >>> x, weight = torch.rand(1, 2, 3, 5), torch.rand(4, 2, 3, 3)
        >>> plain = F.conv2d(ringed(doubled(x, "bilinear")), weight)
        >>> torch.allclose(convolve_doubled(x, weight, None, "bilinear"), plain, atol=1e-5)
        True
    """
    n, _, height, width = x.shape
    parities = _weight_of_parities(weight, upsample)
    four = F.conv2d(ringed(channels_last(x)), parities, None if bias is None else bias.repeat(4))
    four = four.permute(0, 2, 3, 1).reshape(n, height, width, 2, 2, len(weight))
    rows_first = four.transpose(2, 3)  # (N, H, 2, W, 2, O)
    return rows_first.reshape(n, 2 * height, 2 * width, len(weight)).permute(0, 3, 1, 2)


def ringed(x: Tensor) -> Tensor:
    """Return maps (N, C, H, W) with their edge cells repeated once around them.

    For few channels, last in memory, this is many times faster than torch's ``pad``.
    """
    tall = torch.cat([x[:, :, :1], x, x[:, :, -1:]], dim=2)
    return torch.cat([tall[..., :1], tall, tall[..., -1:]], dim=3)


def channels_last(x: Tensor) -> Tensor:
    """Lay maps out so that a convolution of fewer than 16 channels takes them as they are.

    On CPUs it would otherwise copy them to blocks of 16 channels, most of them zeros.
    """
    return x.contiguous(memory_format=torch.channels_last)


def _weight_of_parities(weight: Tensor, upsample: Upsample) -> Tensor:
    """Return weights (4 O, C, 3, 3) on the map of a weight (O, C, 3, 3) on the doubled map."""
    table = torch.as_tensor(_parities(upsample), dtype=weight.dtype, device=weight.device)
    four = (weight.flatten(2) @ table).reshape(*weight.shape[:2], 4, 3, 3)
    return four.permute(2, 0, 1, 3, 4).flatten(0, 1)


@cache
def _parities(upsample: Upsample) -> NDArray[np.float64]:
    """Return the shares (9, 36) that 3x3 cells of the doubled map have in those of the map.

    Columns are the parity of row and column and the cell of the map.
    """
    rows = np.array(ROWS[upsample])
    taps = np.stack([rows[:3], rows[1:]])  # (parity, row of the doubled map, row of the map)
    shares: NDArray[np.float64] = np.einsum("psa,qtb->stpqab", taps, taps)
    return shares.reshape(9, 36)
