"""Proposals without a network: sliding windows, and what windows can reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tensormask_core import WindowGrid
from tensormask_core.masks import decode, encode, rle_iou
from tensormask_zoo.proposals.evaluator import ProposalEvaluator
from tensormask_zoo.proposals.reachable import reachable
from tensormask_zoo.proposals.sliding_windows import sliding_windows


@pytest.mark.parametrize("n", [1, 3, 10, 100, 1000])
@pytest.mark.parametrize("size", [(480, 640), (200, 90), (17, 300)])
def test_there_are_nearly_as_many_windows_as_asked_for(size: tuple[int, int], n: int) -> None:
    count = len(sliding_windows(size, n).rles)
    assert n / 2 <= count <= n


def test_windows_lie_within_the_image_and_reach_its_edges() -> None:
    boxes = sliding_windows((48, 64), 300).boxes
    assert boxes.min(axis=0).tolist()[:2] == [0, 0]
    assert boxes.max(axis=0).tolist()[2:] == [64, 48]


def test_windows_of_a_scale_are_evenly_spread() -> None:
    boxes = sliding_windows((64, 64), 9, sides_px=[16]).boxes
    assert np.unique(boxes[:, 0]).tolist() == np.unique(boxes[:, 1]).tolist() == [0, 24, 48]


def test_the_largest_come_first() -> None:
    found = sliding_windows((64, 64), 50)
    areas = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(axis=1)
    assert (np.diff(areas) <= 0).all()
    assert (np.diff(found.scores) < 0).all()
    assert 0 < found.scores.min() < found.scores.max() == 1


def test_a_window_larger_than_the_image_is_cut() -> None:
    assert sliding_windows((10, 20), 1, sides_px=[30]).boxes.tolist() == [[0, 0, 20, 10]]


def test_masks_fill_windows_or_are_ellipses_in_them() -> None:
    box, ellipse = (
        decode(sliding_windows((64, 64), 1, shape=shape).rles)[0] for shape in ("box", "ellipse")
    )
    assert box.all()
    assert ellipse.mean() == pytest.approx(np.pi / 4, abs=0.02)


@pytest.mark.parametrize("wrong", [{"n": 0}, {"sides_px": [0.5]}, {"sides_px": []}, {"shape": "?"}])
def test_wrong_arguments_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected n >= 1"):
        sliding_windows((64, 64), **({"n": 5} | wrong))


def disc(radius_px: float) -> dict[str, Any]:
    y, x = np.indices((96, 96)) + 0.5
    mask = (np.hypot(y - 48, x - 48) <= radius_px)[None]
    return {"boxes": [[48 - radius_px, 48 - radius_px, 48 + radius_px, 48 + radius_px]],
            "masks": mask, "image_id": 1}  # fmt: skip


def test_finer_cells_reach_more() -> None:
    window = [[8.0, 8, 88, 88]]
    reached = [
        rle_iou(reachable(window, (m, m), disc(30)).rles, encode(disc(30)["masks"]))[0, 0]
        for m in (2, 5, 14, 56)
    ]
    assert reached == sorted(reached)
    assert reached[0] < 0.8
    assert reached[-1] > 0.98


def test_of_the_windows_that_hold_an_object_the_smallest_is_best() -> None:
    windows = [[0.0, 0, 96, 96], [30, 30, 66, 66], [48, 48, 96, 96]]
    alone, among = (reachable(w, (14, 14), disc(17)).rles for w in (windows[1:2], windows))
    assert alone == among


def test_a_window_that_cuts_an_object_is_better_than_none() -> None:
    (rle,) = reachable([[0.0, 0, 48, 96]], (28, 14), disc(30)).rles
    assert rle_iou([rle], encode(disc(30)["masks"]))[0, 0] == pytest.approx(0.5, abs=0.02)


def test_without_windows_or_objects_nothing_is_reached(objects: Any) -> None:
    assert reachable(np.zeros((0, 4)), (14, 14), disc(20)).rles == []
    assert reachable([[0.0, 0, 8, 8]], (14, 14), objects([])).rles == []


def test_a_pyramid_of_windows_reaches_nearly_all(objects: Any) -> None:
    target = objects([[3, 5, 30, 33], [40, 10, 90, 60]], image_id=1)
    grid = WindowGrid.pyramid(image_size=(64, 96), sigma=4, windows=(15,), levels=3)
    evaluator = ProposalEvaluator()
    evaluator.add(reachable(grid.boxes(), (15, 15), target), target)
    assert evaluator.compute()["mask AR max"] > 0.85
