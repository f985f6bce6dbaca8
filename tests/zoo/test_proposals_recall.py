"""Average recall of proposals, against pycocotools' accumulation and a plain computation."""

from __future__ import annotations

import contextlib
import io
import pickle
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tensormask_core.masks import encode, tight_boxes
from tensormask_zoo.data.sample import Target
from tensormask_zoo.data.shapes import Shapes
from tensormask_zoo.evaluation import ImageResult
from tensormask_zoo.proposals.evaluator import ProposalEvaluator, table
from tensormask_zoo.proposals.recall import (
    area_under_log_counts,
    log_counts,
    recall_of,
    voc_average,
)
from tensormask_zoo.proposals.truth import Truth

SHAPES = Shapes(length=6, seed=7, image_size=(160, 176), objects=(3, 6), size_px=(12, 170))
SIZES = {"": 0, "S": 1, "M": 2, "L": 3}
Pair = tuple[ImageResult, Target]


def result_of(masks: np.ndarray, scores: Any = None) -> ImageResult:
    """Proposals of these masks; without scores, all alike."""
    known = np.ones(len(masks)) if scores is None else np.asarray(scores, float)
    return ImageResult(tight_boxes(masks), np.ones(len(masks), int), known, encode(masks))


def guesses(target: Target, random: np.random.Generator, per_object: int) -> ImageResult:
    """Moved masks with scores of one digit, so that many are equal."""
    masks = np.repeat(target["masks"].numpy(), per_object, axis=0)
    moves = random.integers(-6, 7, (len(masks), 2))
    masks = np.stack([np.roll(m, by, (0, 1)) for m, by in zip(masks, moves, strict=True)])
    return result_of(masks, random.random(len(masks)).round(1))


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    """Many proposals, fewer than asked for, none; crowds; and an image without objects."""
    random = np.random.default_rng(0)
    targets = [SHAPES[k][1] for k in range(len(SHAPES))]
    for target in targets:
        target["iscrowd"][::3] = 1
    found = [(guesses(target, random, per_object=1 + 5 * k), target)
             for k, target in enumerate(targets)]  # fmt: skip
    found[1] = (result_of(np.zeros((0, 160, 176))), targets[1])
    empty = {name: value if name == "image_id" else value[:0] for name, value in targets[0].items()}
    return [*found, (found[2][0], {**empty, "image_id": 99})]


def compute(pairs: list[Pair], **options: bool) -> dict[str, float]:
    evaluator = ProposalEvaluator(**options)
    for result, target in pairs:
        evaluator.add(result, target)
    return evaluator.compute()


def accumulated(pairs: list[Pair], iou_type: str, counts: list[int]) -> np.ndarray:
    """COCO's average recall (A, N) with crowds, real categories and 1 for every proposal."""
    truth, found = COCO(), COCO()
    images = [{"id": target["image_id"], "height": 160, "width": 176} for _, target in pairs]
    for coco in (truth, found):
        coco.dataset = {"images": images, "annotations": [],
                        "categories": [{"id": n} for n in range(1, 6)]}  # fmt: skip
    for result, target in pairs:
        for k, rle in enumerate(encode(target["masks"].numpy())):
            box = target["boxes"][k].numpy()
            truth.dataset["annotations"].append({
                "id": len(truth.dataset["annotations"]) + 1, "image_id": target["image_id"],
                "category_id": int(target["labels"][k]), "area": float(target["area"][k]),
                "iscrowd": int(target["iscrowd"][k]), "segmentation": rle,
                "bbox": [*box[:2], *(box[2:] - box[:2])],
            })  # fmt: skip
        for record in result.records(target["image_id"]):
            number = len(found.dataset["annotations"]) + 1
            found.dataset["annotations"].append(record | {"id": number, "area": 0.0, "iscrowd": 0})
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        found.createIndex()
        evaluation = COCOeval(truth, found, iou_type)
        evaluation.params.useCats = 0
        evaluation.params.maxDets = counts
        evaluation.evaluate()
        evaluation.accumulate()
    average: np.ndarray = evaluation.eval["recall"][:, 0].mean(axis=0)
    return average


@pytest.mark.parametrize(("kind", "iou_type"), [("mask", "segm"), ("box", "bbox")])
def test_recall_is_that_of_pycocotools(pairs: list[Pair], kind: str, iou_type: str) -> None:
    metrics, expected = compute(pairs), accumulated(pairs, iou_type, [10, 100, 1000])
    for place, count in enumerate((10, 100, 1000)):
        assert metrics[f"{kind} AR@{count}"] == pytest.approx(expected[0, place])
    for size in ("S", "M", "L"):
        assert metrics[f"{kind} AR{size}@100"] == pytest.approx(expected[SIZES[size], 1])
    assert 0.05 < expected[0, 0] < expected[0, 1] < 0.95


def plain_recall(pairs: list[Pair], count: int, threshold: float) -> float:
    """Recall on dense masks, object by object, without pycocotools."""
    found = total = 0
    for result, target in pairs:
        masks = [m for m, crowd in zip(target["masks"].numpy(), target["iscrowd"], strict=True)
                 if not crowd]  # fmt: skip
        total += len(masks)
        free = set(range(len(masks)))
        order = sorted(range(len(result.scores)), key=lambda d: -result.scores[d])[:count]
        for one in order:
            ious = {g: dense_iou(result.rles[one], masks[g]) for g in sorted(free)}
            good = [g for g in ious if ious[g] >= threshold]
            if good:
                free.remove(max(good, key=lambda g: (ious[g], g)))
        found += len(masks) - len(free)
    return found / total


def dense_iou(rle: dict[str, Any], mask: np.ndarray) -> float:
    from pycocotools import mask as coco  # noqa: PLC0415  (an optional dependency)

    other = coco.decode(rle).astype(bool)
    return float((other & (mask > 0)).sum() / (other | (mask > 0)).sum())


@pytest.mark.parametrize("count", [1, 10])
def test_recall_is_that_of_a_plain_computation(pairs: list[Pair], count: int) -> None:
    evaluator = ProposalEvaluator()
    for result, target in pairs:
        evaluator.add(result, target)
    curve = evaluator.curves()["mask"]
    place = curve.counts.tolist().index(count)
    for t in (0, 5, 9):
        expected = plain_recall(pairs, count, float(curve.thresholds[t]))
        assert curve.recall[t, place] == pytest.approx(expected)


def test_perfect_proposals_find_everything(pairs: list[Pair]) -> None:
    metrics = compute([(result_of(target["masks"].numpy()), target) for _, target in pairs])
    assert metrics["mask AR@10"] == metrics["box AR max"] == metrics["mask VOC@100"] == 1.0


def test_no_proposals_find_nothing(pairs: list[Pair]) -> None:
    nothing = result_of(np.zeros((0, 160, 176)))
    assert set(compute([(nothing, target) for _, target in pairs]).values()) == {0.0}


def test_without_objects_there_is_nothing_to_measure(pairs: list[Pair]) -> None:
    assert set(compute(pairs[-1:], boundary=True).values()) == {-1.0}
    assert set(compute([]).values()) == {-1.0}


def test_a_crowd_is_no_object_but_uses_up_the_count(objects: Any) -> None:
    target = objects([[0, 0, 20, 20], [40, 10, 60, 30]], image_id=1, iscrowd=[1, 0])
    masks = np.concatenate([target["masks"][:1].numpy()] * 10 + [target["masks"][1:].numpy()])
    metrics = compute([(result_of(masks, np.linspace(1, 0, 11)), target)])
    assert (metrics["mask AR@10"], metrics["mask AR@100"]) == (0.0, 1.0)


def test_labels_do_not_matter(pairs: list[Pair]) -> None:
    relabelled = [(ImageResult(r.boxes, np.arange(len(r.scores)) + 70, r.scores, r.rles), t)
                  for r, t in pairs]  # fmt: skip
    assert compute(relabelled) == compute(pairs)


def test_the_upper_bound_ignores_scores_and_counts(objects: Any) -> None:
    target = objects([[0, 0, 20, 20]], image_id=1)
    masks = np.zeros((1001, 64, 96), np.uint8)
    masks[:, 40:60, 40:60] = 1
    masks[1000] = target["masks"][0].numpy()
    metrics = compute([(result_of(masks, np.linspace(1, 0, 1001)), target)])
    assert (metrics["mask AR@1000"], metrics["mask AR max"]) == (0.0, 1.0)


def test_an_overlap_of_exactly_one_half_is_enough(objects: Any) -> None:
    target = objects([[0, 0, 20, 20]], image_id=1)
    half = objects([[0, 0, 10, 20]])["masks"].numpy()
    metrics = compute([(result_of(half), target)])
    assert metrics["mask AR@10"] == metrics["mask AR max"] == pytest.approx(0.1)


def test_boxes_of_proposals_are_those_of_their_masks_unless_asked(objects: Any) -> None:
    target = objects([[0, 0, 20, 20]], image_id=1)
    rles = encode(target["masks"].numpy())
    elsewhere = ImageResult(np.array([[50.0, 50, 60, 60]]), np.ones(1, int), np.ones(1), rles)
    assert compute([(elsewhere, target)])["box AR@10"] == 1.0
    assert compute([(elsewhere, target)], own_boxes=True)["box AR@10"] == 0.0


def test_a_ragged_contour_costs_boundary_recall_only(objects: Any) -> None:
    target = objects([[10, 10, 50, 50]], image_id=1)
    smaller = np.zeros((1, 64, 96), np.uint8)
    smaller[0, 13:47, 13:47] = 1  # mask IoU 0.72; the contours, 2 px wide, do not meet
    metrics = compute([(result_of(smaller), target)], boundary=True)
    assert (metrics["mask AR@10"], metrics["boundary AR@10"]) == (0.5, 0.0)


def test_agreement_of_contours_does_not_excuse_a_hole(objects: Any) -> None:
    target = objects([[10, 10, 22, 22]], image_id=1)
    frame = target["masks"].numpy().copy()
    frame[0, 12:20, 12:20] = 0  # all that is within 2 px of its contours; mask IoU 80 / 144
    metrics = compute([(result_of(frame), target)], boundary=True)
    assert metrics["boundary AR@10"] == metrics["mask AR@10"] == pytest.approx(0.2)


def test_an_image_counts_once_and_none_after_reset(pairs: list[Pair]) -> None:
    evaluator = ProposalEvaluator()
    for result, target in pairs:
        evaluator.add(result, target)
    evaluator.add(pairs[1][0], pairs[0][1])  # nothing, for the objects of the first image
    assert evaluator.compute() == compute(pairs)
    evaluator.reset()
    assert set(evaluator.compute().values()) == {-1.0}


def test_devices_unite_their_images(pairs: list[Pair], monkeypatch: pytest.MonkeyPatch) -> None:
    devices = [ProposalEvaluator(), ProposalEvaluator()]
    for device, share in zip(devices, (pairs[:4], pairs[3:]), strict=True):  # one image twice
        for result, target in share:
            device.add(result, target)
    held = [pickle.loads(pickle.dumps(device._images)) for device in devices]
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_gather_object", lambda parts, _: parts.__setitem__(
        slice(None), held))  # fmt: skip
    devices[0].gather()
    assert devices[0].compute() == compute(pairs)


def test_proposals_of_a_resized_image_are_refused(objects: Any) -> None:
    target = objects([[0, 0, 20, 20]], image_id=3)
    with pytest.raises(ValueError, match=r"image 3 in its size \[\(64, 96\)\].*\(32, 48\)"):
        ProposalEvaluator().add(result_of(np.ones((1, 32, 48))), target)


def test_objects_of_a_coco_file_are_those_of_a_target() -> None:
    target = SHAPES[0][1]
    entries = [{"segmentation": rle, "iscrowd": 0} for rle in encode(target["masks"].numpy())]
    image = {"id": target["image_id"], "height": 160, "width": 176}
    read, held = Truth.from_annotations(image, entries), Truth.of(target)
    assert read.rles == held.rles
    np.testing.assert_array_equal(read.boxes, held.boxes)
    np.testing.assert_array_equal(read.areas, held.areas)


def test_crowds_of_a_coco_file_are_no_objects() -> None:
    rle = encode(np.ones((1, 8, 9)))[0]
    entries = [{"segmentation": rle, "iscrowd": crowd} for crowd in (1, 0, 1)]
    found = Truth.from_annotations({"id": 1, "height": 8, "width": 9}, entries)
    assert (found.boxes.tolist(), found.areas.tolist()) == ([[0, 0, 9, 8]], [72])


def test_what_an_image_leaves_is_small(pairs: list[Pair]) -> None:
    evaluator = ProposalEvaluator()
    result, target = pairs[5]
    evaluator.add(result, target)
    (kept,) = evaluator._images.values()
    arrays = [a for m in kept.values() for a in (m.ranks, m.counted, m.best_iou)]
    assert sum(array.nbytes for array in arrays) < 500 * len(target["masks"])


@pytest.mark.parametrize(
    ("values", "published"),
    [([3, 12.6, 24.5, 33.1], 18.3), ([3.4, 15.4, 27.8, 36.0], 20.9), ([3, 14.1, 25.8, 33.6], 19.4)],
)
def test_auc_over_log_counts_is_near_the_published(values: list[float], published: float) -> None:
    area = area_under_log_counts([1, 10, 100, 1000], values)  # AR@1 is not published
    assert area == pytest.approx(published, abs=0.2)


def test_log_counts_are_even_in_the_logarithm() -> None:
    counts = log_counts(1000)
    assert (counts[0], counts[-1], len(counts)) == (1, 1000, 28)
    ratios = counts[10:] / counts[9:-1]
    assert ratios.min() > 1.2
    assert ratios.max() < 1.31


def test_voc_average_is_twice_the_integral_from_one_half_to_one() -> None:
    ious = np.random.default_rng(0).uniform(0.3, 1, 20000)
    recall = (ious[:, None] >= np.linspace(0.5, 1, 11)).mean(axis=0)
    hosang = 2 * np.maximum(ious - 0.5, 0).mean()
    assert voc_average(recall[:, None])[0] == pytest.approx(hosang, abs=2e-3)


def test_recall_of_no_images_is_missing() -> None:
    assert (recall_of([], [1, 10]) == -1).all()


def test_the_table_has_a_row_for_each_kind(pairs: list[Pair]) -> None:
    lines = table(compute(pairs, boundary=True)).splitlines()
    assert [line.split()[0] for line in lines] == ["AR@10", "mask", "box", "boundary"]
    assert len({len(line) for line in lines}) == 1


def test_what_a_model_detects_is_measured(detector: Any, objects: Any) -> None:
    images = [torch.rand(3, 64, 96), torch.rand(3, 40, 56)]
    targets = [objects([[4, 4, 40, 40]], image_id=1), objects([], (40, 56), image_id=2)]
    evaluator = ProposalEvaluator()
    for (found, masks), image, target in zip(detector.detect(images), images, targets, strict=True):
        evaluator.add(ImageResult.of(found, masks, image), target)
    assert 0 <= evaluator.compute()["mask AR@10"] <= evaluator.compute()["mask AR max"] <= 1
