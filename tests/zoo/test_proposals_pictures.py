"""Pictures of proposals, and what takes no network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tensormask_core.masks import encode
from tensormask_zoo.evaluation import ImageResult
from tensormask_zoo.proposals import pictures
from tensormask_zoo.proposals.baseline import window_recall
from tensormask_zoo.proposals.evaluator import ProposalEvaluator
from tensormask_zoo.proposals.pictures import draw_best, draw_found
from tensormask_zoo.proposals.sliding_windows import sliding_windows
from tensormask_zoo.proposals.truth import boxes_of

GREY = torch.full((3, 64, 96), 0.5)
BOXES = [[8, 8, 40, 40], [8, 8, 40, 38], [50, 20, 90, 60], [0, 50, 10, 60]]
SCORES = [0.4, 0.9, 0.8, 0.1]


@pytest.fixture
def result(objects: Any) -> ImageResult:
    """Four proposals, the first two of nearly the same object, the best one second."""
    rles = encode(objects(BOXES)["masks"].numpy())
    return ImageResult(boxes_of(rles), np.ones(4, np.int64), np.array(SCORES), rles)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Boxes and captions that are drawn."""
    seen: list[tuple[Any, ...]] = []

    def draw(image: Any, masks: Any, boxes: Any, labels: Any) -> Any:
        assert len(masks) == len(boxes) == len(labels)
        seen.extend(zip(boxes.tolist(), labels, strict=True))
        return image

    monkeypatch.setattr(pictures, "overlay", draw)
    return seen


def test_the_best_proposals_are_drawn_once(result: ImageResult, drawn: Any) -> None:
    draw_best(GREY, result)
    assert drawn == [(BOXES[1], "0.90"), (BOXES[2], "0.80"), (BOXES[3], "0.10")]


def test_no_more_proposals_are_drawn_than_asked_for(result: ImageResult, drawn: Any) -> None:
    draw_best(GREY, result, count=1)
    assert drawn == [(BOXES[1], "0.90")]


def test_proposals_below_the_score_are_not_drawn(result: ImageResult, drawn: Any) -> None:
    draw_best(GREY, result, score_threshold=0.85)
    assert drawn == [(BOXES[1], "0.90")]


def test_objects_show_the_proposal_that_overlaps_them_most(
    result: ImageResult, drawn: Any, objects: Any
) -> None:
    target = objects([BOXES[0], [60, 0, 64, 4]], image_id=1)
    draw_found(GREY, result, target)
    assert drawn == [(BOXES[0], "1.00")]


def test_only_the_best_proposals_may_find_objects(
    result: ImageResult, drawn: Any, objects: Any
) -> None:
    draw_found(GREY, result, objects([BOXES[0]], image_id=1), count=2)
    assert drawn == [(BOXES[1], "0.94")]


def test_a_picture_without_proposals_is_the_image(objects: Any) -> None:
    nothing = ImageResult(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0), [])
    large = torch.rand(3, 300, 400)
    target = objects([], (300, 400), image_id=1)
    assert torch.equal(draw_best(large, nothing), large)
    assert torch.equal(draw_found(large, nothing, target), large)


def test_the_baseline_has_as_many_windows_as_are_counted(objects: Any) -> None:
    targets = [objects([BOXES[k]], image_id=k) for k in range(3)]
    found = window_recall(targets, counts=(10, 1000))
    assert list(found) == ["mask AR@10", "mask AR@1000", "box AR@10", "box AR@1000"]
    evaluator = ProposalEvaluator()
    for target in targets:
        windows = sliding_windows((64, 96), 10, sides_px=[32, 32, 32, 35.2, 38.4])
        evaluator.add(windows, target)
    assert found["mask AR@10"] == evaluator.compute()["mask AR@10"] < found["mask AR@1000"]


def test_the_baseline_takes_images_without_objects(objects: Any) -> None:
    nothing = objects([], image_id=1)
    assert window_recall([nothing], counts=(10,)) == {"mask AR@10": -1.0, "box AR@10": -1.0}
