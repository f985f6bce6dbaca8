"""Targets: which windows are positive, and what their class, box and mask should be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from tensormask_core import WindowGrid
from tensormask_core.assign import Assignment
from tensormask_core.masks import crop_and_resize
from tensormask_zoo.image_batching import Target, size_of
from tensormask_zoo.tensormask.window_places import boxes_of, places_of

MaskTargets = Literal["coverage", "binary", "detectron2"]
MASK_TARGETS: dict[MaskTargets, dict[str, Any]] = {
    "coverage": {"soft": True},
    "binary": {"soft": False},
    "detectron2": {"soft": False, "outside": "ring"},
}
"""What a cell should be: the covered share, whether it is half at least, or that as published: with
the pixels just outside of the image repeating those at its border."""


class Rule(Protocol):
    """Labels the windows of a grid; see :mod:`tensormask_core.assign`."""

    def __call__(self, grid: WindowGrid, boxes: ArrayLike, /) -> Assignment:
        """Return the positive windows for boxes (N, 4) XYXY px."""


@dataclass(frozen=True)
class Windows:
    """Some windows of a batch, each with what it stands for.

    Attributes:
        image: (P,) index of the image in the batch.
        window: (P,) flat index in the grid.
        object: (P,) index of the object or detection in its image, or a class.
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
        place = places_of(grid, window)
        return cls(image, window, objects, boxes_of(grid, place), place)

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
        """Yield level, window size and the (K,) rows that have them, where there are any.

        Finer levels come first, and the rows of an image before those of the next.
        """
        for level, size, by_image in self.groups_by_image():
            yield level, size, torch.cat([rows for _, rows in by_image])

    def groups_by_image(self) -> Iterator[tuple[int, int, list[tuple[int, Tensor]]]]:
        """Yield level, window size and the images with the rows that have them."""
        keys = torch.stack([self.place[:, 0], self.place[:, 3], self.image], dim=1)
        found, key, counts = torch.unique(keys, dim=0, return_inverse=True, return_counts=True)
        rows = torch.split(key.argsort(stable=True), counts.tolist())
        parts = zip(found.tolist(), rows, strict=True)
        for (level, size), group in groupby(parts, lambda part: tuple(part[0][:2])):
            yield level, size, [(image, mine) for (_, _, image), mine in group]


@dataclass(frozen=True)
class Positives:
    """The positive windows of a batch and what they should predict.

    Attributes:
        windows: where they are, and the object of each.
        labels: (P,) class index from 0.
        boxes: (P, 4) XYXY px, the objects' boxes.
        without_window: how many objects, crowds apart, have no positive window: larger than every
            window, too near the border of the grid, or lost to others. They train nothing: their
            windows are background, and :mod:`ceiling` counts them as missed.
    """

    windows: Windows
    labels: Tensor
    boxes: Tensor
    without_window: int


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
        without_window=sum(len(kept) - len(np.unique(a.object)) for a, kept in labelled),
    )


def mask_targets(
    targets: Sequence[Target],
    windows: Windows,
    rows: Tensor,
    size: tuple[int, int],
    kind: MaskTargets,
) -> Tensor:
    """Return what the masks of the windows ``rows`` (K,) should be: (K, V, U) float in [0, 1]."""
    image = windows.image[rows]
    crops = []
    for n, target in enumerate(targets):
        mine = rows[image == n]
        if len(mine):
            boxes, objects = windows.window_boxes[mine], windows.object[mine]
            masks = target["masks"].as_subclass(Tensor)
            seen = crop_and_resize(masks, boxes, size, object=objects, **MASK_TARGETS[kind])
            crops.append(seen.float())
    return torch.cat(crops)


def check_targets(targets: Sequence[Target], images: Sequence[Tensor], num_classes: int) -> None:
    """Refuse targets that would train something else without a word.

    Raises:
        ValueError: not one target per image, a shape that does not fit the image or the other
            entries, or a label outside 1..num_classes.
    """
    if len(targets) != len(images) or not images:
        raise ValueError(
            "training expects images and one target per image, "
            f"got {len(images)} images and {len(targets)} targets"
        )
    for row, (target, image) in enumerate(zip(targets, images, strict=True)):
        _check_shapes(target, image, row)
    labels = torch.cat([target["labels"] for target in targets])
    wrong = labels[(labels < 1) | (labels > num_classes)]
    if len(wrong):
        raise ValueError(
            f"targets expect labels from 1 to {num_classes}, got {int(wrong[0])}; "
            "0 would be the background, which no object has"
        )


def _check_shapes(target: Target, image: Tensor, row: int) -> None:
    if not {"boxes", "labels", "masks"} <= target.keys():
        raise ValueError(
            f"targets expect boxes, labels and masks, got {sorted(target)} in row {row}"
        )
    count = len(target["labels"])
    expected = {"labels": (count,), "boxes": (count, 4), "masks": (count, *size_of(image))}
    if "iscrowd" in target:
        expected["iscrowd"] = (count,)
    for name, shape in expected.items():
        if tuple(target[name].shape) != shape:
            raise ValueError(
                f"targets expect {name} {shape} for {count} labels and an image of "
                f"{size_of(image)} px, got {tuple(target[name].shape)} in row {row}"
            )


def _label(rule: Rule, grid: WindowGrid, target: Target) -> tuple[Assignment, Tensor]:
    crowd = target.get("iscrowd", torch.zeros_like(target["labels"]))
    kept = (crowd == 0).nonzero()[:, 0].cpu()
    boxes = target["boxes"].as_subclass(Tensor).cpu()[kept]
    return rule(grid, boxes.numpy()), kept
