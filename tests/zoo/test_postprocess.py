"""From logits to detections."""

from __future__ import annotations

import pytest
import torch

from tensormask_core import WindowGrid
from tensormask_zoo.tensormask.postprocess import Detections, PostProcess, select

GRID = WindowGrid.pyramid(image_size=(64, 64), windows=(9,), levels=2)
FAR = (0, 15, 255)  # windows of level 0 in three corners, which do not overlap


def detections(scores: dict[tuple[int, int], float], **limits: float) -> Detections:
    """Select from windows which all score 0, except the (window, class) of `scores`."""
    logits = torch.full((len(GRID), 3), -20.0)
    for place, score in scores.items():
        logits[place] = torch.tensor(score).logit()
    return select(logits, torch.zeros(len(GRID), 4), GRID, PostProcess(**limits))


def test_detections_are_windows_with_label_and_score() -> None:
    found = detections({(FAR[1], 2): 0.9, (FAR[2], 0): 0.4})
    assert found.window.tolist() == [FAR[1], FAR[2]]
    assert found.labels.tolist() == [3, 1]
    assert found.scores.tolist() == pytest.approx([0.9, 0.4])
    assert found.boxes.tolist() == GRID.boxes([FAR[1], FAR[2]]).tolist()


def test_boxes_are_the_decoded_deltas() -> None:
    logits, deltas = torch.full((len(GRID), 3), -20.0), torch.zeros(len(GRID), 4)
    logits[FAR[0], 0], deltas[FAR[0]] = 3.0, torch.tensor([1.5, 0.0, 0.0, 0.0])
    (box,) = select(logits, deltas, GRID, PostProcess()).boxes
    assert box.tolist() == [18.0, -18.0, 54.0, 18.0]  # one window width to the right


def test_a_score_at_the_threshold_is_too_low() -> None:
    logits = torch.full((len(GRID), 3), -20.0)
    logits[0, 0] = 0.0
    for threshold, count in ((0.5, 0), (0.4999, 1)):
        limits = PostProcess(score_threshold=threshold)
        assert len(select(logits, torch.zeros(len(GRID), 4), GRID, limits).window) == count


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


def test_defaults_are_the_published_ones() -> None:
    expected = {"score_threshold": 0.05, "candidates": 6000, "nms_iou": 0.5, "detections": 100}
    assert vars(PostProcess()) == expected
