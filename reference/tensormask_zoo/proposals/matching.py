"""Which proposal finds which object, at each IoU and for each size of objects: by pycocotools.

Matching is greedy in the order of the scores, so what a proposal finds does not depend on those
after it: one matching of all proposals, kept as the rank of the finder of each object, gives the
recall for every count of proposals.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tensormask_zoo.proposals.truth import Floats

# COCO's ten, as pycocotools has them to the last bit, and 1.0 for VOC-style averages.
THRESHOLDS = np.append(np.linspace(0.5, 0.95, 10), 1.0)
COCO_THRESHOLDS = slice(0, 10)
SIZES = ("", "S", "M", "L")
# Closed intervals: an object of exactly 32^2 px^2 is small and medium.
AREA_RANGES_PX2 = ((0, 1e10), (0, 32**2), (32**2, 96**2), (96**2, 1e10))
NEVER = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Matches:
    """What the proposals of one image find; some hundred bytes per object.

    Attributes:
        ranks: (A, T, G) int32: place, from 0 for the best, of the proposal that finds an object
            where only objects of a size count; ``NEVER`` where none does.
        counted: (A, G) bool: which objects are of a size.
        best_iou: (G,) of the best of all proposals, whatever its score.
    """

    ranks: npt.NDArray[np.int32]
    counted: npt.NDArray[np.bool_]
    best_iou: Floats


def match(overlaps: Floats, scores: npt.ArrayLike, areas: npt.ArrayLike) -> Matches:
    """Match the proposals of one image to its objects as COCO does.

    Args:
        overlaps: (D, G) IoU of proposals and objects.
        scores: (D,) any order; among equal scores the first comes first.
        areas: (G,) px^2 of the objects.

    Raises:
        ValueError: the numbers of proposals or objects differ.

    Example:
        >>> found = match(np.array([[0.6], [0.9]]), scores=[0.9, 0.8], areas=[50.0])
        >>> found.ranks[0, :, 0].tolist()[:5]  # at IoU 0.5 to 0.7
        [0, 0, 0, 1, 1]
    """
    score, area = np.asarray(scores, np.float64), np.asarray(areas, np.float64)
    if overlaps.shape != (len(score), len(area)):
        raise ValueError(
            f"match expects overlaps of {len(score)} scores and {len(area)} areas, "
            f"got {overlaps.shape}"
        )
    ranked = overlaps[np.argsort(-score, kind="stable")]
    best = ranked.max(axis=0, initial=0.0)
    # Proposals that overlap nothing enough match nothing: most of 1000, and the loops are Python.
    near = np.flatnonzero(ranked.max(axis=1, initial=0.0) >= THRESHOLDS[0])
    finder = _finders(ranked[near], area)  # (A, T, G)
    ranks = np.append(near, NEVER)[finder - 1].astype(np.int32)
    low, high = np.array(AREA_RANGES_PX2).T[:, :, None]
    return Matches(ranks, (area >= low) & (area <= high), best)


def _finders(overlaps: Floats, areas: Floats) -> npt.NDArray[np.int64]:
    """Return (A, T, G) the number, from 1, of the row that finds an object; 0 where none does."""
    shape = (len(AREA_RANGES_PX2), len(THRESHOLDS), len(areas))
    if not overlaps.size:
        return np.zeros(shape, np.int64)
    finders = np.zeros(shape, np.int64)
    for size, result in enumerate(_evaluate(overlaps, areas)):
        finders[size][:, np.array(result["gtIds"]) - 1] = result["gtMatches"]
    return finders


def _evaluate(overlaps: Floats, areas: Floats) -> list[dict[str, Any]]:
    """Return pycocotools' matches for each range of areas; ids count from 1, for 0 is no match."""
    from pycocotools.coco import COCO  # noqa: PLC0415  (loads matplotlib; seldom needed)
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415  (as above)

    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truth, found = COCO(), COCO()
        for document, rows in ((truth, _objects(areas)), (found, _ranked(len(overlaps)))):
            document.dataset = {"images": [{"id": 1}], "categories": [{"id": 1}]}
            document.dataset["annotations"] = rows
            document.createIndex()
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.params.useCats = 0
        evaluation.params.maxDets = [len(overlaps)]
        evaluation.params.iouThrs = THRESHOLDS
        evaluation.params.areaRng = [list(limits) for limits in AREA_RANGES_PX2]
        evaluation.computeIoU = lambda image_id, category_id: overlaps
        evaluation.evaluate()
    results: list[dict[str, Any]] = evaluation.evalImgs
    return results


def _objects(areas: Floats) -> list[dict[str, Any]]:
    """Every object is of the one category, or pycocotools drops proposals of unknown ones."""
    common = {"image_id": 1, "category_id": 1, "iscrowd": 0}
    return [{**common, "id": n, "area": float(area)} for n, area in enumerate(areas, start=1)]


def _ranked(count: int) -> list[dict[str, Any]]:
    """Proposals that are in order already; their areas decide on precision only."""
    common = {"image_id": 1, "category_id": 1, "area": 0.0}
    return [{**common, "id": n, "score": -float(n)} for n in range(1, count + 1)]
