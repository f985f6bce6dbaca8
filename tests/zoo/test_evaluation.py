"""COCO metrics, against pycocotools' own summary."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tensormask_core.masks import encode, tight_boxes
from tensormask_zoo.data.sample import Target
from tensormask_zoo.data.shapes import Shapes
from tensormask_zoo.evaluation import CocoEvaluator, ImageResult, table

SHAPES = Shapes(length=6, seed=5, image_size=(160, 176), objects=(3, 6), size_px=(12, 170))
# The places of these metrics among the twelve lines of COCOeval.summarize.
PLACES = {"AP": 0, "AP50": 1, "AP75": 2, "APS": 3, "APM": 4, "APL": 5, "AR": 8, "ARL": 11}
Pair = tuple[ImageResult, Target]


def guesses(target: Target, random: np.random.Generator) -> ImageResult:
    """Two detections per object: moved masks, some wrong labels, scores of any height."""
    masks = np.repeat(target["masks"].numpy(), 2, axis=0)
    moves = random.integers(-6, 7, (len(masks), 2))
    masks = np.stack([np.roll(m, by, (0, 1)) for m, by in zip(masks, moves, strict=True)])
    labels = np.repeat(target["labels"].numpy(), 2)
    labels = np.where(random.random(len(labels)) < 0.2, 1, labels)
    return ImageResult(tight_boxes(masks), labels, random.random(len(masks)), encode(masks))


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    """Results of six images with every third object a crowd, and of one without objects."""
    random = np.random.default_rng(0)
    targets = [SHAPES[k][1] for k in range(len(SHAPES))]
    for target in targets:
        target["iscrowd"][::3] = 1
    found = [(guesses(target, random), target) for target in targets]
    empty = {name: value if name == "image_id" else value[:0] for name, value in targets[0].items()}
    return [*found, (found[0][0], {**empty, "image_id": 99})]


def compute(pairs: list[Pair]) -> dict[str, float]:
    evaluator = CocoEvaluator(SHAPES.class_names)
    for result, target in pairs:
        evaluator.add(result, target)
    return evaluator.compute()


def truth(pairs: list[Pair]) -> COCO:
    """The ground truth as its own COCO document."""
    annotations: list[dict[str, Any]] = []
    for _, target in pairs:
        for k, rle in enumerate(encode(target["masks"].numpy())):
            x0, y0, x1, y1 = target["boxes"][k].tolist()
            annotations.append({
                "id": len(annotations) + 1, "image_id": target["image_id"], "segmentation": rle,
                "category_id": int(target["labels"][k]), "iscrowd": int(target["iscrowd"][k]),
                "area": float(target["area"][k]), "bbox": [x0, y0, x1 - x0, y1 - y0],
            })  # fmt: skip
    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": target["image_id"], "height": 160, "width": 176} for _, target in pairs],
        "annotations": annotations,
        "categories": [{"id": k + 1, "name": n} for k, n in enumerate(SHAPES.class_names)],
    }
    coco.createIndex()
    return coco


def official(pairs: list[Pair], iou_type: str) -> list[float]:
    """The twelve numbers of COCOeval.summarize."""
    records = [record for result, target in pairs for record in result.records(target["image_id"])]
    for record in records:  # loadRes sorts masks into sizes by their boxes if it sees any
        del record["segmentation" if iou_type == "bbox" else "bbox"]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = truth(pairs)
        evaluation = COCOeval(coco, coco.loadRes(records), iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(number) for number in evaluation.stats]


@pytest.mark.parametrize(("kind", "iou_type"), [("mask", "segm"), ("box", "bbox")])
def test_metrics_are_those_of_pycocotools(pairs: list[Pair], kind: str, iou_type: str) -> None:
    metrics, expected = compute(pairs), official(pairs, iou_type)
    found = {name: metrics[f"{kind} {name}"] for name in PLACES}
    assert found == pytest.approx({name: expected[place] for name, place in PLACES.items()})
    assert 0.05 < found["AP"] < 0.95


def test_perfect_detections_score_one(pairs: list[Pair]) -> None:
    perfect = [
        (
            ImageResult(
                target["boxes"].numpy(), target["labels"].numpy(),
                np.ones(len(target["labels"])), encode(target["masks"].numpy()),
            ),
            target,
        )
        for _, target in pairs
    ]  # fmt: skip
    metrics = compute(perfect)
    assert metrics["mask AP"] == metrics["box AP"] == 1.0


def test_no_detections_score_zero(pairs: list[Pair]) -> None:
    nothing = ImageResult(np.zeros((0, 4)), np.zeros(0), np.zeros(0), [])
    metrics = compute([(nothing, target) for _, target in pairs])
    assert metrics["mask AP"] == metrics["box AR"] == 0.0


def test_images_without_objects_have_nothing_to_measure(pairs: list[Pair]) -> None:
    assert compute(pairs[-1:])["mask AP"] == -1.0


def test_no_images_have_nothing_to_measure() -> None:
    assert set(compute([]).values()) == {-1.0}


def test_an_image_counts_once(pairs: list[Pair]) -> None:
    assert compute(pairs + pairs[:3]) == compute(pairs)


def test_images_are_forgotten_on_reset(pairs: list[Pair]) -> None:
    evaluator = CocoEvaluator(SHAPES.class_names)
    evaluator.add(*pairs[0])
    evaluator.reset()
    evaluator.add(*pairs[1])
    assert evaluator.compute() == compute(pairs[1:2])


def test_detections_beyond_the_limit_do_not_count(pairs: list[Pair]) -> None:
    evaluator = CocoEvaluator(SHAPES.class_names, max_detections=1)
    for result, target in pairs:
        evaluator.add(result, target)
    assert evaluator.compute()["mask AR"] < compute(pairs)["mask AR"]


def test_records_hold_sides_and_the_categories_of_the_data_set(pairs: list[Pair]) -> None:
    result, _ = pairs[0]
    record = result.records(7, category_ids=[10, 20, 30, 40, 50])[0]
    x0, y0, x1, y1 = result.boxes[0].tolist()
    assert record["bbox"] == [x0, y0, x1 - x0, y1 - y0]
    assert record["category_id"] == 10 * int(result.labels[0])
    assert (record["image_id"], record["score"]) == (7, float(result.scores[0]))


def test_the_table_is_in_percent_and_marks_what_cannot_be_measured() -> None:
    metrics = {"mask AP": 0.4567, "mask APL": -1.0, "box AP": 1.0, "box APL": 0.0}
    assert [line.split() for line in table(metrics).splitlines()] == [
        ["AP", "APL"],
        ["mask", "45.7", "n/a"],
        ["box", "100.0", "0.0"],
    ]
    assert len({len(line) for line in table(metrics).splitlines()}) == 1


def test_nothing_is_printed(pairs: list[Pair], capsys: pytest.CaptureFixture[str]) -> None:
    compute(pairs[:1])
    assert capsys.readouterr().out == ""


def test_results_leave_the_graph_and_the_device(detector: Any) -> None:
    image = torch.rand(3, 64, 96)
    ((found, masks),) = detector.detect([image])
    result = ImageResult.of(found, masks, image)
    assert len(result.rles) == len(result.boxes) == len(found.boxes) > 0
    assert {tuple(rle["size"]) for rle in result.rles} == {(64, 96)}
