"""What the drawn windows of a batch should predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tensormask_core import WindowGrid
from tensormask_core.masks import crop_and_resize
from tensormask_zoo.image_batching import Target
from tensormask_zoo.instancefcn.window_sampling import Drawn


@dataclass(frozen=True)
class WindowTargets:
    """Windows of a batch and what they should predict.

    Attributes:
        index: (S, 3) image, y, x.
        positive: (S,) bool, whether the window stands for an object.
        masks: (S, m, m) float in [0, 1], its object's mask; 0 for negatives.
        inside: (S, m, m) bool, which nodes of the window lie on the map of its image.
    """

    index: Tensor
    positive: Tensor
    masks: Tensor
    inside: Tensor

    @classmethod
    def of(
        cls,
        grids: Sequence[WindowGrid],
        targets: Sequence[Target],
        drawn: Sequence[Drawn],
        m: int,
        *,
        soft: bool = False,
    ) -> WindowTargets:
        """Look up the targets of the windows drawn from each image.

        Args:
            grids: the windows of each image, of one level, in the px of its target.
            targets: per image ``masks`` (N, H, W).
            drawn: windows of each image.
            m: nodes per side of a window.
            soft: masks are the covered share of each node's square rather than 0 or 1.
        """
        device = targets[0]["masks"].device
        index = torch.cat(
            [_index(n, *pair) for n, pair in enumerate(zip(grids, drawn, strict=True))]
        ).to(device)
        positive = torch.from_numpy(np.concatenate([one.object >= 0 for one in drawn])).to(device)
        masks = torch.zeros((len(index), m, m), device=device)
        masks[positive] = torch.cat(
            [_masks(*three, m, soft) for three in zip(grids, targets, drawn, strict=True)]
        )
        extents = [(grid.levels[0].height, grid.levels[0].width) for grid in grids]
        inside = inside_map(index, torch.tensor(extents, device=device), m)
        return cls(index, positive, masks, inside)


def inside_map(index: Tensor, extents: Tensor, m: int) -> Tensor:
    """Return which nodes of windows lie on the map of their image.

    Args:
        index: (S, 3) image, y, x.
        extents: (N, 2) rows and columns of each image's map.
        m: nodes per side of a window.

    Returns:
        (S, m, m) bool.

    Example:
        >>> inside_map(torch.tensor([[0, 0, 1]]), torch.tensor([[4, 9]]), 3).int().tolist()
        [[[0, 0, 0], [1, 1, 1], [1, 1, 1]]]
    """
    offsets = torch.arange(m, device=index.device) - (m - 1) / 2
    at = index[:, 1:, None] + offsets  # (S, 2, m)
    hit = (at >= 0) & (at <= extents[index[:, 0], :, None] - 1)
    return hit[:, 0, :, None] & hit[:, 1, None, :]


def _index(n: int, grid: WindowGrid, drawn: Drawn) -> Tensor:
    at = grid.unravel(drawn.window)
    return torch.from_numpy(np.stack([np.full_like(at.y, n), at.y, at.x], axis=1))


def _masks(grid: WindowGrid, target: Target, drawn: Drawn, m: int, soft: bool) -> Tensor:
    """Return the masks (P, m, m) of the positives of an image, which come first."""
    positives = drawn.object >= 0
    boxes, objects = grid.boxes(drawn.window[positives]), drawn.object[positives]
    masks = target["masks"].as_subclass(Tensor)
    cells: Tensor = crop_and_resize(masks, boxes, (m, m), object=objects, soft=soft)
    return cells.float()
