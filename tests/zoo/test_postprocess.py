"""From logits to detections."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.ops import nms

from tensormask_core import WindowGrid
from tensormask_zoo.tensormask.postprocess import (
    Candidates,
    Detections,
    PostProcess,
    candidates,
    class_wise_nms,
    suppress,
)

GRID = WindowGrid.pyramid(image_size=(64, 64), windows=(9,), levels=2)
FAR = (0, 15, 255)  # windows of level 0 in three corners, which do not overlap


def logits_of(scores: dict[tuple[int, int], float]) -> Tensor:
    """Logits of windows which all score 0, except the (window, class) of `scores`."""
    logits = torch.full((len(GRID), 3), -20.0)
    for place, score in scores.items():
        logits[place] = torch.tensor(score).logit()
    return logits


def detections(scores: dict[tuple[int, int], float], **limits: Any) -> Detections:
    """Select from the windows themselves."""
    found = candidates(logits_of(scores)[None], PostProcess(**limits))
    boxes = torch.from_numpy(GRID.boxes(found.window.numpy()))
    (one,) = suppress(found, boxes, 1, PostProcess(**limits))
    return one


def test_detections_are_windows_with_label_and_score() -> None:
    found = detections({(FAR[1], 2): 0.9, (FAR[2], 0): 0.4})
    assert found.window.tolist() == [FAR[1], FAR[2]]
    assert found.labels.tolist() == [3, 1]
    assert found.scores.tolist() == pytest.approx([0.9, 0.4])
    assert found.boxes.tolist() == GRID.boxes([FAR[1], FAR[2]]).tolist()


def test_a_score_at_the_threshold_is_too_low() -> None:
    for threshold, count in ((0.5, 0), (0.4999, 1)):
        assert len(detections({(0, 0): 0.5}, score_threshold=threshold).window) == count


def test_only_the_best_candidates_enter_suppression() -> None:
    found = detections({(FAR[0], 0): 0.5, (FAR[1], 0): 0.9, (FAR[2], 1): 0.7}, candidates=2)
    assert found.window.tolist() == [FAR[1], FAR[2]]


def test_only_the_best_detections_are_kept() -> None:
    found = detections({(FAR[0], 0): 0.5, (FAR[1], 0): 0.9, (FAR[2], 1): 0.7}, detections=1)
    assert found.window.tolist() == [FAR[1]]


def test_a_better_overlapping_box_of_the_same_class_wins() -> None:
    found = detections({(17, 0): 0.6, (18, 0): 0.9})  # neighbours: IoU 0.8
    assert found.window.tolist() == [18]


def test_boxes_of_other_classes_do_not_compete() -> None:
    assert len(detections({(17, 0): 0.6, (18, 1): 0.9}).window) == 2


def test_the_overlap_that_is_suppressed_can_be_chosen() -> None:
    assert len(detections({(17, 0): 0.6, (18, 0): 0.9}, nms_iou=0.9).window) == 2


def test_a_window_may_hold_two_classes() -> None:
    found = detections({(FAR[0], 0): 0.6, (FAR[0], 2): 0.7})
    assert found.labels.tolist() == [3, 1]


def test_equal_scores_keep_the_order_of_the_grid() -> None:
    places = {(window, 0): 0.5 for window in FAR}
    assert detections(places).window.tolist() == list(FAR)


def test_nothing_above_the_threshold_is_an_empty_result() -> None:
    found = detections({})
    assert (found.boxes.shape, found.window.shape) == ((0, 4), (0,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("count", [1, 7, 40, 100])
def test_candidates_are_the_first_of_all_pairs_in_order(count: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    logits = (2 * torch.randn(2, 30, 4)).to(dtype)  # rounded, so that there are ties
    found = candidates(logits, PostProcess(candidates=count, score_threshold=0.3))
    for image in (0, 1):
        scores, order = logits[image].float().flatten().sort(descending=True, stable=True)
        order = order[(scores.sigmoid() > 0.3).nonzero()[:, 0]][:count]
        mine = found.image == image
        assert (found.window * 4 + found.label)[mine].tolist() == order.tolist()


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.0, 2.0])
def test_a_threshold_may_let_all_pass_or_none(threshold: float) -> None:
    found = candidates(torch.randn(1, 20, 3), PostProcess(score_threshold=threshold))
    assert len(found.window) == (60 if threshold <= 0 else 0)


def test_images_of_a_batch_do_not_compete() -> None:
    scores = ({(17, 0): 0.6}, {(18, 0): 0.9}, {})
    logits = torch.stack([logits_of(one) for one in scores])
    found = candidates(logits, PostProcess())
    boxes = torch.from_numpy(GRID.boxes(found.window.numpy()))
    assert [d.window.tolist() for d in suppress(found, boxes, 3, PostProcess())] == [[17], [18], []]


def test_suppression_treats_each_class_of_each_image_apart() -> None:
    torch.manual_seed(0)
    corner = 3000 * torch.rand(400, 2) - 1500  # below zero too, as boxes are not clipped
    boxes = torch.cat([corner, corner + 1000 * torch.rand(400, 2)], dim=1)
    image, label = torch.arange(400) // 200, torch.randint(0, 5, (400,))
    scores = torch.rand(400)
    found = Candidates(image, torch.arange(400), label, scores)
    expected = []
    for group in range(10):
        rows = (image * 5 + label == group).nonzero()[:, 0]
        expected += rows[nms(boxes[rows], scores[rows], 0.3)].tolist()
    assert class_wise_nms(boxes, found, 0.3).tolist() == sorted(expected)


def test_defaults_are_the_published_ones() -> None:
    assert vars(PostProcess()) == {
        "score_threshold": 0.05,
        "candidates": 6000,
        "nms_iou": 0.5,
        "detections": 100,
        "nms": "boxes",
    }
