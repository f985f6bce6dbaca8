"""Targets: which windows are positive, and what their class, box and mask should be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from tensormask_core import WindowGrid
from tensormask_core.assign import Assignment
from tensormask_core.masks import crop_and_resize
from tensormask_zoo.image_batching import Target


class Rule(Protocol):
    """Labels the windows of a grid; see :mod:`tensormask_core.assign`."""

    def __call__(self, grid: WindowGrid, boxes: ArrayLike, /) -> Assignment:
        """Return the positive windows for boxes (N, 4) XYXY px."""


@dataclass(frozen=True)
class Windows:
    """Some windows of a batch, each with an object of its image.

    Attributes:
        image: (P,) index of the image in the batch.
        window: (P,) flat index in the grid.
        object: (P,) index of the object or detection in its image.
        window_boxes: (P, 4) XYXY px.
        place: (P, 4) level, y, x and window size of each window.
    """

    image: Tensor
    window: Tensor
    object: Tensor
    window_boxes: Tensor
    place: Tensor

    @classmethod
    def of(cls, grid: WindowGrid, image: Tensor, window: Tensor, objects: Tensor) -> Windows:
        """Look up where the windows with flat index ``window`` (P,) are."""
        flat = window.cpu().numpy()
        place = torch.from_numpy(np.stack(tuple(grid.unravel(flat)), axis=1))
        boxes = torch.from_numpy(grid.boxes(flat)).to(window.device, torch.float32)
        return cls(image, window, objects, boxes, place.to(window.device))

    def subset(self, rows: Tensor) -> Windows:
        """Return the windows ``rows`` only."""
        return Windows(
            self.image[rows], self.window[rows], self.object[rows], self.window_boxes[rows],
            self.place[rows],
        )  # fmt: skip

    def index(self, rows: Tensor) -> Tensor:
        """Return the (K, 3) image, y and x of the windows ``rows``."""
        return torch.stack([self.image[rows], *self.place[rows, 1:3].T], dim=1)

    def groups(self) -> Iterator[tuple[int, int, Tensor]]:
        """Yield level, window size and the (K,) rows that have them, where there are any."""
        for level, size in torch.unique(self.place[:, [0, 3]], dim=0).tolist():
            rows = (self.place[:, 0] == level) & (self.place[:, 3] == size)
            yield level, size, rows.nonzero()[:, 0]


@dataclass(frozen=True)
class Positives:
    """The positive windows of a batch and what they should predict.

    Attributes:
        windows: where they are, and the object of each.
        labels: (P,) class index from 0.
        boxes: (P, 4) XYXY px, the objects' boxes.
    """

    windows: Windows
    labels: Tensor
    boxes: Tensor


def check_targets(targets: Sequence[Target], images: int, num_classes: int) -> None:
    """Refuse targets that would train something else without a word.

    Raises:
        ValueError: not one target per image, or a label outside 1..num_classes.
    """
    if len(targets) != images:
        raise ValueError(
            f"training expects one target per image, got {images} images and {len(targets)} targets"
        )
    labels = torch.cat([target["labels"] for target in targets])
    wrong = labels[(labels < 1) | (labels > num_classes)]
    if len(wrong):
        raise ValueError(
            f"targets expect labels from 1 to {num_classes}, got {int(wrong[0])}; "
            "0 would be the background, which no object has"
        )


def find_positives(rule: Rule, grid: WindowGrid, targets: Sequence[Target]) -> Positives:
    """Label the windows of every image of a batch; crowd objects are left out."""
    labelled = [_label(rule, grid, target) for target in targets]
    device = targets[0]["boxes"].device
    image = np.concatenate([np.full(len(a.window), n) for n, (a, _) in enumerate(labelled)])
    window = np.concatenate([a.window for a, _ in labelled])
    objects = torch.cat([kept[torch.from_numpy(a.object)] for a, kept in labelled]).to(device)
    images = torch.from_numpy(image).to(device)
    offsets = torch.tensor([0, *[len(t["boxes"]) for t in targets]], device=device).cumsum(0)
    row = offsets[images] + objects
    return Positives(
        Windows.of(grid, images, torch.from_numpy(window).to(device), objects),
        labels=torch.cat([t["labels"] for t in targets])[row] - 1,
        boxes=torch.cat([t["boxes"] for t in targets])[row].float(),
    )


def mask_targets(
    targets: Sequence[Target], windows: Windows, rows: Tensor, size: tuple[int, int], soft: bool
) -> Tensor:
    """Return what the masks of the windows ``rows`` (K,) should be: (K, V, U) float in [0, 1]."""
    image = windows.image[rows]
    crops = []
    for n, target in enumerate(targets):
        mine = rows[image == n]
        if len(mine):
            boxes, objects = windows.window_boxes[mine], windows.object[mine]
            masks = target["masks"].as_subclass(Tensor)
            crops.append(crop_and_resize(masks, boxes, size, object=objects, soft=soft).float())
    return torch.cat(crops)


def _label(rule: Rule, grid: WindowGrid, target: Target) -> tuple[Assignment, Tensor]:
    crowd = target.get("iscrowd", torch.zeros_like(target["labels"]))
    kept = (crowd == 0).nonzero()[:, 0].cpu()
    boxes = target["boxes"].as_subclass(Tensor).cpu()[kept]
    return rule(grid, boxes.numpy()), kept
