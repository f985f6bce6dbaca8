"""The objects of an image that proposals have to find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tensormask_core.masks import annotation_to_rle, decode, encode, tight_boxes

Floats = npt.NDArray[np.float64]
Record = dict[str, Any]


@dataclass(frozen=True)
class Truth:
    """Objects of one image, without their classes and without crowds.

    COCO lets a crowd take only proposals that found no object, so that crowds never change a
    recall; their proposals still use up the count, which is kept elsewhere.

    Attributes:
        image_id: number of the image.
        boxes: (G, 4) XYXY px.
        areas: (G,) px^2, by which objects are small, medium or large.
        rles: G compressed RLEs.
    """

    image_id: int
    boxes: Floats
    areas: Floats
    rles: list[Record]

    @classmethod
    def of(cls, target: Mapping[str, Any]) -> Truth:
        """Return the objects of a target as :func:`tensormask_zoo.data.sample.make_target` has it.

        Args:
            target: ``boxes`` (N, 4), ``masks`` (N, H, W), ``image_id``; ``area`` and ``iscrowd``
                (N,) where there are any.

        Example:
            >>> import torch
            >>> mask = torch.zeros(1, 4, 6)
            >>> mask[0, 1:3, 2:5] = 1
            >>> boxes = torch.tensor([[2.0, 1, 5, 3]])
            >>> Truth.of({"boxes": boxes, "masks": mask, "image_id": 7}).areas.tolist()
            [6.0]
        """
        masks = _host(target["masks"])
        crowd = _host(target.get("iscrowd", np.zeros(len(masks)))).astype(bool)
        areas = _host(target.get("area", np.count_nonzero(masks, axis=(1, 2))))
        boxes = _host(target["boxes"])
        return cls(
            image_id=int(target["image_id"]),
            boxes=boxes[~crowd].astype(np.float64).reshape(-1, 4),
            areas=areas[~crowd].astype(np.float64),
            rles=encode(masks[~crowd]),
        )

    @classmethod
    def from_annotations(cls, image: Record, annotations: Sequence[Record]) -> Truth:
        """Return the objects of an image of a COCO file.

        Args:
            image: with ``id``, ``height`` and ``width``.
            annotations: of that image, with ``segmentation``; ``bbox`` (XYWH) and ``area`` are
                measured on the mask where they are absent.

        Raises:
            ValueError: a segmentation is broken or of another size.
        """
        size = (image["height"], image["width"])
        objects = [entry for entry in annotations if not entry.get("iscrowd", 0)]
        rles = [annotation_to_rle(entry["segmentation"], size) for entry in objects]
        measured = [_measure(rle) for rle in rles]
        pairs = list(zip(objects, measured, strict=True))
        sides = np.array([entry.get("bbox", box) for entry, (box, _) in pairs], float)
        areas = np.array([entry.get("area", area) for entry, (_, area) in pairs], float)
        return cls(image["id"], xywh_to_xyxy(sides), areas, rles)


def xywh_to_xyxy(sides: npt.ArrayLike) -> Floats:
    """Return boxes (N, 4) with corners, of boxes with sides.

    Example:
        >>> xywh_to_xyxy([[1, 2, 10, 20]]).tolist()
        [[1.0, 2.0, 11.0, 22.0]]
    """
    boxes = np.array(sides, np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def boxes_of(rles: Sequence[Record]) -> Floats:
    """Return the tight boxes (N, 4) XYXY px of masks; zeros for empty masks.

    Example:
        >>> boxes_of([{"size": [2, 2], "counts": b"22"}]).tolist()
        [[1.0, 0.0, 2.0, 2.0]]
    """
    from pycocotools import mask  # noqa: PLC0415  (an optional dependency)

    return xywh_to_xyxy(mask.toBbox(list(rles)) if len(rles) else np.zeros((0, 4)))


def _measure(rle: Record) -> tuple[list[float], float]:
    """Return the box (XYWH) and the area of a mask."""
    x0, y0, x1, y1 = tight_boxes(dense := decode([rle]))[0].tolist()
    return [x0, y0, x1 - x0, y1 - y0], float(dense.sum())


def _host(values: Any) -> npt.NDArray[Any]:
    return np.asarray(values.cpu() if hasattr(values, "cpu") else values)
