"""COCO's mask AP of many rows over the same images, whose truth is indexed once."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from tensormask_core.masks import encode
from tensormask_zoo.data.sample import Target
from tensormask_zoo.evaluation import ImageResult

Record = dict[str, Any]

METRICS = ("AP", "AP50", "AP75", "APS", "APM", "APL")
COCO_SIZES_PX = (32.0, 96.0)
NO_LIMIT = 1e10  # px^2


class MaskScores:
    """Truth of some images, and the AP of detections against it.

    Args:
        class_names: names of the labels 1, 2, ...
        sizes_px: objects of a smaller area than the first number squared count as small, from the
            second squared on as large; COCO's are 32 and 96 px.
        max_detections: detections per image that count.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        *,
        sizes_px: tuple[float, float] = COCO_SIZES_PX,
        max_detections: int = 100,
    ) -> None:
        self.categories = [{"id": k, "name": name} for k, name in enumerate(class_names, start=1)]
        edges = (0.0, *(side**2 for side in sizes_px), NO_LIMIT)
        self.areas = [[0, NO_LIMIT], *([edges[k], edges[k + 1]] for k in range(3))]
        self.max_detections = max_detections
        self.images: list[Record] = []
        self.truth: list[Record] = []

    def add(self, target: Target) -> None:
        """Add the truth of an image."""
        height, width = target["masks"].shape[-2:]
        self.images.append({"id": int(target["image_id"]), "height": height, "width": width})
        rles = encode(target["masks"].cpu().numpy())
        for n, rle in enumerate(rles):
            self.truth.append(
                {
                    "id": len(self.truth) + 1,
                    "image_id": int(target["image_id"]),
                    "category_id": int(target["labels"][n]),
                    "area": float(target["area"][n]),
                    "iscrowd": int(target["iscrowd"][n]),
                    "segmentation": rle,
                }
            )

    def of(self, results: Sequence[ImageResult]) -> dict[str, float | None]:
        """Return the metrics in percent, None where there is nothing to measure.

        Args:
            results: one per image, in the order in which their truth was added.
        """
        from pycocotools import mask  # noqa: PLC0415  (an optional dependency)
        from pycocotools.cocoeval import COCOeval  # noqa: PLC0415  (loads matplotlib)

        records = [
            {**record, "id": 0, "iscrowd": 0, "area": float(mask.area(record["segmentation"]))}
            for image, result in zip(self.images, results, strict=True)
            for record in result.records(image["id"])
        ]
        found = [{**record, "id": n} for n, record in enumerate(records, start=1)]
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            evaluation = COCOeval(self._indexed(self.truth), self._indexed(found), "segm")
            evaluation.params.maxDets = [self.max_detections]
            evaluation.params.areaRng = self.areas
            evaluation.evaluate()
            evaluation.accumulate()
        return _summary(evaluation.eval["precision"][..., 0], evaluation.params.iouThrs)

    def _indexed(self, annotations: list[Record]) -> Any:
        from pycocotools.coco import COCO  # noqa: PLC0415  (loads matplotlib)

        coco = COCO()
        coco.dataset = {
            "images": self.images, "annotations": annotations, "categories": self.categories
        }  # fmt: skip
        coco.createIndex()
        return coco


def _summary(precision: Any, iou: Any) -> dict[str, float | None]:
    """Average precisions (thresholds, recalls, classes, sizes)."""
    parts = [precision[..., 0]]
    parts += [precision[np.isclose(iou, at), ..., 0] for at in (0.5, 0.75)]
    parts += [precision[..., k] for k in (1, 2, 3)]
    return {name: _mean(part) for name, part in zip(METRICS, parts, strict=True)}


def _mean(values: Any) -> float | None:
    known = values[values > -1]  # -1 stands for classes without an object
    return float(100 * known.mean()) if known.size else None
