"""Positive windows of a batch, and what they should predict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tensormask_core import WindowGrid
from tensormask_core.assign import TensorMaskRule
from tensormask_core.masks import crop_and_resize
from tensormask_zoo.tensormask.targets import Positives, find_positives, mask_targets

GRID = WindowGrid.pyramid(image_size=(64, 96), windows=(9, 11), levels=2)
RULE = TensorMaskRule()
FIRST = [[4, 4, 36, 36], [50, 10, 90, 60]]
LAST = [[20, 8, 50, 40], [60, 30, 80, 45], [10, 42, 30, 62]]


def positives(objects: Any) -> Positives:
    return find_positives(RULE, GRID, [objects(FIRST), objects([]), objects(LAST)])


@pytest.mark.parametrize(("image", "boxes"), [(0, FIRST), (1, []), (2, LAST)])
def test_the_rule_labels_each_image_of_a_batch(objects: Any, image: int, boxes: Any) -> None:
    windows = positives(objects).windows
    expected = RULE(GRID, boxes)
    assert windows.window[windows.image == image].tolist() == expected.window.tolist()
    assert windows.object[windows.image == image].tolist() == expected.object.tolist()


def test_a_window_has_the_box_and_label_of_its_own_object(objects: Any) -> None:
    found = positives(objects)
    rows = zip(found.windows.image.tolist(), found.windows.object.tolist(), strict=True)
    boxes = [(FIRST, [], LAST)[image][k] for image, k in rows]
    assert found.boxes.tolist() == boxes
    assert found.labels.tolist() == [k % 3 for k in found.windows.object.tolist()]


def test_crowds_are_left_out_and_the_others_keep_their_number(objects: Any) -> None:
    crowd = find_positives(RULE, GRID, [objects(LAST, iscrowd=[0, 1, 0])])
    alone = find_positives(RULE, GRID, [objects([LAST[0], LAST[2]])])
    assert crowd.windows.window.tolist() == alone.windows.window.tolist()
    assert crowd.windows.object.tolist() == [2 * k for k in alone.windows.object.tolist()]
    assert torch.equal(crowd.boxes, alone.boxes)


def test_no_objects_have_no_windows(objects: Any) -> None:
    found = find_positives(RULE, GRID, [objects([])])
    assert (len(found.labels), len(found.boxes), list(found.windows.groups())) == (0, 0, [])


def test_groups_share_level_and_size_and_miss_nothing(objects: Any) -> None:
    windows = positives(objects).windows
    seen = []
    for level, size, rows in windows.groups():
        assert (windows.place[rows][:, [0, 3]] == torch.tensor([level, size])).all()
        seen += rows.tolist()
    assert sorted(seen) == list(range(len(windows.window)))


def test_an_index_leads_back_to_the_window(objects: Any) -> None:
    windows = positives(objects).windows
    for level, size, rows in windows.groups():
        image, y, x = windows.index(rows).T.numpy()
        assert np.array_equal(GRID.ravel(level, y, x, size), windows.window[rows])
        assert image.tolist() == windows.image[rows].tolist()


@pytest.mark.parametrize("soft", [True, False])
def test_mask_targets_are_the_objects_seen_through_their_windows(objects: Any, soft: bool) -> None:
    batch = [objects(FIRST), objects([]), objects(LAST)]
    windows = find_positives(RULE, GRID, batch).windows
    rows = torch.arange(len(windows.window))
    found = mask_targets(batch, windows, rows, (6, 5), soft=soft)
    for row in rows.tolist():
        mask = batch[windows.image[row]]["masks"][windows.object[row]]
        (expected,) = crop_and_resize(
            mask[None], windows.window_boxes[row, None], (6, 5), soft=soft
        )
        assert torch.equal(found[row], expected.float())


def test_hard_targets_are_zero_or_one(objects: Any) -> None:
    batch = [objects([[5, 5, 34, 33]])]
    windows = find_positives(RULE, GRID, batch).windows
    rows = torch.arange(len(windows.window))
    assert set(mask_targets(batch, windows, rows, (9, 9), soft=False).unique().tolist()) == {0, 1}
    assert len(mask_targets(batch, windows, rows, (9, 9), soft=True).unique()) > 2
