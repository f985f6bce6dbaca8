"""Average recall of proposals, image by image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch.distributed as dist

from tensormask_core.masks import rle_iou
from tensormask_zoo.evaluation import MISSING, ImageResult
from tensormask_zoo.proposals.boundary import boundary_iou
from tensormask_zoo.proposals.matching import THRESHOLDS, Matches, match
from tensormask_zoo.proposals.recall import RecallCurves, curves_of, metrics_of
from tensormask_zoo.proposals.truth import Floats, Truth, boxes_of


class ProposalEvaluator:
    """Collects matches image by image and computes what the proposal papers report.

    Classes are ignored, and so are crowds. What is kept of an image is a few kilobytes, whatever
    the number of its proposals. In a run on several devices each adds its own images;
    :meth:`gather` unites them.

    Args:
        boundary: measure contours, too: average recall with the lesser of mask IoU and boundary
            IoU, as Boundary AP has it (Cheng et al. 2021).
        own_boxes: take a proposal's box as predicted, for systems with a box head. By default it
            is the tight box of its mask, as the papers define box proposals.

    Example:
        >>> from tensormask_zoo.data.shapes import Shapes
        >>> from tensormask_zoo.proposals.sliding_windows import sliding_windows
        >>> image, target = Shapes(length=1)[0]
        >>> evaluator = ProposalEvaluator()
        >>> evaluator.add(sliding_windows(image.shape[-2:], 100), target)
        >>> 0 <= evaluator.compute()["mask AR@100"] < 0.5
        True
    """

    def __init__(self, *, boundary: bool = False, own_boxes: bool = False) -> None:
        self.kinds = ("mask", "box", "boundary") if boundary else ("mask", "box")
        self._own_boxes = own_boxes
        self.reset()

    def __len__(self) -> int:
        """Return how many images were added."""
        return len(self._images)

    def reset(self) -> None:
        """Forget all images."""
        self._images: dict[int, dict[str, Matches]] = {}

    def add(self, result: ImageResult, target: Mapping[str, Any] | Truth) -> None:
        """Match the proposals of an image; one that was added before is left out.

        Args:
            result: any number of proposals in any order, labels of no meaning.
            target: of the image, or its objects.

        Raises:
            ValueError: proposals and objects are of different image sizes.
        """
        truth = target if isinstance(target, Truth) else Truth.of(target)
        if truth.image_id not in self._images:
            self._images[truth.image_id] = self._matches(result, truth)

    def gather(self) -> None:
        """Take the images of all devices, each once; every device must call this."""
        if dist.is_available() and dist.is_initialized():
            parts: list[dict[int, dict[str, Matches]]] = [{} for _ in range(dist.get_world_size())]
            dist.all_gather_object(parts, self._images)
            self._images = {image: kept for part in parts for image, kept in part.items()}

    def compute(self) -> dict[str, float]:
        """Return ``mask AR@100``, ``box AUC``, ...: :func:`metrics_of` for each kind."""
        return {
            f"{kind} {name}": value
            for kind, matches in self._by_kind().items()
            for name, value in metrics_of(matches).items()
        }

    def curves(self) -> dict[str, RecallCurves]:
        """Return recall over counts and over IoU for each kind."""
        return {kind: curves_of(matches) for kind, matches in self._by_kind().items()}

    def _by_kind(self) -> dict[str, list[Matches]]:
        return {kind: [image[kind] for image in self._images.values()] for kind in self.kinds}

    def _matches(self, result: ImageResult, truth: Truth) -> dict[str, Matches]:
        _check_sizes(result, truth)
        masks = rle_iou(result.rles, truth.rles)  # (D, G)
        overlaps = {"mask": masks, "box": self._box_overlaps(result, truth)}
        if "boundary" in self.kinds:
            overlaps["boundary"] = _with_boundaries(masks, result, truth)
        return {kind: match(overlaps[kind], result.scores, truth.areas) for kind in self.kinds}

    def _box_overlaps(self, result: ImageResult, truth: Truth) -> Floats:
        boxes = result.boxes if self._own_boxes else boxes_of(result.rles)
        return _box_iou(np.asarray(boxes, np.float64).reshape(-1, 4), truth.boxes)


def table(metrics: Mapping[str, float]) -> str:
    """Return metrics in percent as a table with a row for masks, one for boxes, and so on.

    Example:
        >>> print(table({"mask AR@100": 0.4567, "mask ARL@100": -1.0}))
               AR@100   ARL@100
        mask     45.7       n/a
    """
    pairs = [name.split(" ", 1) for name in metrics]
    kinds, columns = (list(dict.fromkeys(names)) for names in zip(*pairs, strict=True))
    first = max(map(len, kinds))
    rows = [" " * first + "".join(f"{column:>{len(column) + 3}}" for column in columns)]
    for kind in kinds:
        cells = [f"{_percent(metrics[f'{kind} {name}']):>{len(name) + 3}}" for name in columns]
        rows.append(f"{kind:<{first}}" + "".join(cells))
    return "\n".join(rows)


def _percent(value: float) -> str:
    return "n/a" if value == MISSING else f"{100 * value:.1f}"


def _with_boundaries(masks: Floats, result: ImageResult, truth: Truth) -> Floats:
    """Return the lesser of mask and boundary IoU, of the proposals that may match at all."""
    overlaps = np.zeros_like(masks)
    near = np.flatnonzero(masks.max(axis=1, initial=0.0) >= THRESHOLDS[0])
    contours = boundary_iou([result.rles[n] for n in near], truth.rles)
    overlaps[near] = np.minimum(masks[near], contours)
    return overlaps


def _box_iou(found: Floats, truth: Floats) -> Floats:
    """Return the IoU (D, G) of boxes (XYXY px), as pycocotools computes it."""
    from pycocotools import mask  # noqa: PLC0415  (an optional dependency)

    if not len(found) or not len(truth):
        return np.zeros((len(found), len(truth)))
    sides = [np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]) for boxes in (found, truth)]
    return np.asarray(mask.iou(*sides, [0] * len(truth)), np.float64)


def _check_sizes(result: ImageResult, truth: Truth) -> None:
    """Proposals of a resized image would match nothing, without a word."""
    found, sizes = ({tuple(rle["size"]) for rle in rles} for rles in (result.rles, truth.rles))
    if found and sizes and found != sizes:
        raise ValueError(
            f"expected proposals for image {truth.image_id} in its size {sorted(sizes)}, "
            f"got masks of {sorted(found)}; take them back to the original image first"
        )
