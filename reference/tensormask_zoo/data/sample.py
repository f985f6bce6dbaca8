"""The one form of a training sample: torchvision's detection convention."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors

from tensormask_core.masks import tight_boxes

Target = dict[str, Any]
Sample = tuple[tv_tensors.Image, Target]
Batch = tuple[list[tv_tensors.Image], list[Target]]


def make_target(
    masks: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    image_id: int,
    iscrowd: NDArray[np.int64] | None = None,
) -> Target:
    """Collect the objects of one image, with boxes and areas measured on the masks.

    Args:
        masks: (N, H, W) uint8, 1 where the object is; N may be 0.
        labels: (N,) int64 in 1..K.
        image_id: Number of the image, as in COCO JSON.
        iscrowd: (N,) 1 for a region of uncounted objects; all 0 by default.

    Returns:
        `boxes` (N, 4) float32 XYXY in px, `labels` (N,) int64, `masks` (N, H, W) uint8,
        `image_id` int, `area` (N,) float32 in px^2, `iscrowd` (N,) int64.

    Example:
        >>> mask = np.zeros((1, 4, 6), np.uint8)
        >>> mask[0, 1:3, 2:5] = 1
        >>> make_target(mask, np.array([1]), image_id=7)["boxes"].tolist()
        [[2.0, 1.0, 5.0, 3.0]]
    """
    count, height, width = masks.shape
    boxes = torch.from_numpy(tight_boxes(masks))
    crowd = np.zeros(count, np.int64) if iscrowd is None else iscrowd
    return {
        "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(height, width)),
        "labels": torch.from_numpy(labels),
        "masks": tv_tensors.Mask(torch.from_numpy(masks)),
        "image_id": image_id,
        "area": torch.from_numpy(np.count_nonzero(masks, axis=(1, 2)).astype(np.float32)),
        "iscrowd": torch.from_numpy(crowd),
    }


def collate(samples: list[Sample]) -> Batch:
    """Keep images of different sizes as a list, targets likewise.

    Args:
        samples: Pairs of image and target.

    Returns:
        The list of images and the list of targets, as torchvision's detectors take them.
    """
    images, targets = zip(*samples, strict=True)
    return list(images), list(targets)
