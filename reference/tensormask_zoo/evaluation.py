"""Mask and box AP by pycocotools, from results that stay RLE throughout."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch.distributed as dist
from torch import Tensor

from tensormask_core.masks import encode
from tensormask_zoo.calibration import CALIBRATION_IOU, Calibration, calibrate
from tensormask_zoo.tensormask.postprocess import Detections
from tensormask_zoo.tensormask.results import WindowMasks, as_rles

Record = dict[str, Any]

AREAS = ("", "S", "M", "L")
MISSING = -1.0  # what COCO reports where there is nothing to measure


@dataclass(frozen=True)
class ImageResult:
    """Detections of one image as COCO needs them.

    Attributes:
        boxes: (D, 4) XYXY px.
        labels: (D,) from 1.
        scores: (D,) in [0, 1].
        rles: D compressed RLEs.
    """

    boxes: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    scores: np.ndarray[Any, Any]
    rles: list[Record]

    @classmethod
    def of(cls, found: Detections, masks: list[WindowMasks], image: Tensor) -> ImageResult:
        """Encode detections of ``image`` (3, H, W)."""
        rles = as_rles(found, masks, (image.shape[-2], image.shape[-1]))
        boxes, labels, scores = (
            x.detach().cpu().numpy() for x in (found.boxes, found.labels, found.scores)
        )
        return cls(boxes, labels, scores, rles)

    def records(self, image_id: int, category_ids: Sequence[int] | None = None) -> list[Record]:
        """Return COCO result records, XYWH boxes included; ``segmentation`` counts are bytes."""
        sides = np.concatenate([self.boxes[:, :2], self.boxes[:, 2:] - self.boxes[:, :2]], axis=1)
        return [
            {
                "image_id": image_id,
                "category_id": int(label) if category_ids is None else category_ids[label - 1],
                "bbox": [float(side) for side in box],
                "score": float(score),
                "segmentation": rle,
            }
            for box, label, score, rle in zip(
                sides, self.labels, self.scores, self.rles, strict=True
            )
        ]


@dataclass(frozen=True)
class EvaluatedImage:
    """An image with what is on it and what was found, as records of COCO without ids."""

    size: tuple[int, int]
    truth: list[Record]
    found: list[Record]


class CocoEvaluator:
    """Collects results image by image and computes COCO's metrics.

    In a run on several devices each adds its own images; :meth:`gather` unites them.

    Args:
        class_names: names of the labels 1, 2, ...
        max_detections: detections per image that count; COCO's is 100.
    """

    def __init__(self, class_names: Sequence[str], *, max_detections: int = 100) -> None:
        self._class_names = tuple(class_names)
        self._max_detections = max_detections
        self.reset()

    def __len__(self) -> int:
        """Return how many images were added."""
        return len(self._images)

    def reset(self) -> None:
        """Forget all images."""
        self._images: dict[int, EvaluatedImage] = {}

    def add(self, result: ImageResult, target: dict[str, Tensor]) -> None:
        """Add an image; one that was added before is left out, so that nothing counts twice."""
        image_id = int(target["image_id"])
        if image_id not in self._images:
            height, width = target["masks"].shape[-2:]
            self._images[image_id] = EvaluatedImage(
                (height, width), _truth_records(target, image_id), result.records(image_id)
            )

    def gather(self) -> None:
        """Take the images of all devices, each once; every device must call this.

        Samplers repeat images so that all devices have the same number of batches.
        """
        if dist.is_available() and dist.is_initialized():
            parts: list[dict[int, EvaluatedImage]] = [{} for _ in range(dist.get_world_size())]
            dist.all_gather_object(parts, self._images)
            merged = {number: image for part in parts for number, image in part.items()}
            self._images = dict(sorted(merged.items()))

    def compute(self) -> dict[str, float]:
        """Return AP, AP50, AP75, AP by size and AR of masks and boxes, each in [0, 1] or -1."""
        return {
            f"{kind} {name}": value
            for kind, iou_type in (("mask", "segm"), ("box", "bbox"))
            for name, value in _summary(self._evaluate(iou_type)).items()
        }

    def calibration(self) -> Calibration:
        """Return the precision that a score stands for, per class (TensorMask, appendix A.5)."""
        evaluation = self._evaluate("segm", thresholds=[CALIBRATION_IOU])
        return calibrate(evaluation, self._class_names)

    def _evaluate(self, iou_type: str, thresholds: Sequence[float] | None = None) -> Any:
        """Return pycocotools' evaluation, done."""
        from pycocotools.cocoeval import COCOeval  # noqa: PLC0415  (loads matplotlib)

        truth = [record for image in self._images.values() for record in image.truth]
        found = [record for image in self._images.values() for record in image.found]
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            evaluation = COCOeval(
                self._as_coco(truth),
                self._as_coco(_as_annotations(found, iou_type)),
                iou_type,
            )
            evaluation.params.maxDets = [self._max_detections]
            if thresholds is not None:
                evaluation.params.iouThrs = np.asarray(thresholds)
            evaluation.evaluate()
            evaluation.accumulate()
        return evaluation

    def _as_coco(self, annotations: list[Record]) -> Any:
        """Index numbered annotations as pycocotools does."""
        from pycocotools.coco import COCO  # noqa: PLC0415  (loads matplotlib; seldom needed)

        coco = COCO()
        coco.dataset = {
            "images": [
                {"id": number, "height": image.size[0], "width": image.size[1]}
                for number, image in self._images.items()
            ],
            "annotations": [{**one, "id": n} for n, one in enumerate(annotations, start=1)],
            "categories": [{"id": k + 1, "name": n} for k, n in enumerate(self._class_names)],
        }
        coco.createIndex()
        return coco


def table(metrics: dict[str, float]) -> str:
    """Return metrics as a table with one row for masks and one for boxes, in percent."""
    columns = list(dict.fromkeys(name.split(" ", 1)[1] for name in metrics))
    rows = ["      " + "".join(f"{column:>8}" for column in columns)]
    for kind in ("mask", "box"):
        values = [metrics[f"{kind} {column}"] for column in columns]
        cells = ("     n/a" if value == MISSING else f"{100 * value:8.1f}" for value in values)
        rows.append(f"{kind:<6}" + "".join(cells))
    return "\n".join(rows)


def _summary(evaluation: Any) -> dict[str, float]:
    """Average precision (T, R, K, A, M) and recall (T, K, A, M) as COCO's twelve lines do."""
    precision, recall = evaluation.eval["precision"][..., 0], evaluation.eval["recall"][..., 0]
    iou = evaluation.params.iouThrs
    summary = {"AP": _mean(precision[..., 0])}
    for percent in (50, 75):
        summary[f"AP{percent}"] = _mean(precision[np.isclose(iou, percent / 100), ..., 0])
    for area, name in enumerate(AREAS[1:], start=1):
        summary[f"AP{name}"] = _mean(precision[..., area])
    for area, name in enumerate(AREAS):
        summary[f"AR{name}"] = _mean(recall[..., area])
    return summary


def _mean(values: np.ndarray[Any, Any]) -> float:
    known = values[values > MISSING]
    return float(known.mean()) if known.size else MISSING


def _as_annotations(records: list[Record], iou_type: str) -> list[Record]:
    """Return results as annotations, with the area that COCO sorts them into sizes by."""
    from pycocotools import mask  # noqa: PLC0415  (an optional dependency)

    if iou_type == "segm":
        areas = [mask.area(r["segmentation"]) for r in records]  # lists overflow under numpy 2
    else:
        areas = [r["bbox"][2] * r["bbox"][3] for r in records]
    return [
        {**record, "area": float(area), "iscrowd": 0}
        for record, area in zip(records, areas, strict=True)
    ]


def _truth_records(target: dict[str, Tensor], image_id: int) -> list[Record]:
    boxes = target["boxes"].cpu().numpy().astype(float)
    crowd = target.get("iscrowd")
    return [
        {
            "image_id": image_id,
            "category_id": int(target["labels"][n]),
            "bbox": [*boxes[n, :2], *(boxes[n, 2:] - boxes[n, :2])],
            "area": float(target["area"][n]),
            "iscrowd": 0 if crowd is None else int(crowd[n]),
            "segmentation": rle,
        }
        for n, rle in enumerate(encode(target["masks"].cpu().numpy()))
    ]
