"""Positive windows of a batch, and what they should predict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tensormask_core import WindowGrid
from tensormask_core.assign import TensorMaskRule
from tensormask_core.masks import crop_and_resize
from tensormask_zoo.tensormask.targets import (
    Positives,
    Windows,
    check_targets,
    find_positives,
    mask_targets,
)

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


@pytest.mark.parametrize("kind", ["coverage", "binary"])
def test_mask_targets_are_the_objects_seen_through_their_windows(objects: Any, kind: Any) -> None:
    batch = [objects(FIRST), objects([]), objects(LAST)]
    windows = find_positives(RULE, GRID, batch).windows
    rows = torch.arange(len(windows.window))
    found = mask_targets(batch, windows, rows, (6, 5), kind)
    for row in rows.tolist():
        mask = batch[windows.image[row]]["masks"][windows.object[row]]
        (expected,) = crop_and_resize(
            mask[None], windows.window_boxes[row, None], (6, 5), soft=kind == "coverage"
        )
        assert torch.equal(found[row], expected.float())


def test_only_coverage_has_values_between_zero_and_one(objects: Any) -> None:
    batch = [objects([[5, 5, 34, 33]])]
    windows = find_positives(RULE, GRID, batch).windows
    rows = torch.arange(len(windows.window))
    for kind in ("binary", "detectron2"):
        assert set(mask_targets(batch, windows, rows, (9, 9), kind).unique().tolist()) == {0, 1}
    assert len(mask_targets(batch, windows, rows, (9, 9), "coverage").unique()) > 2


def test_published_targets_repeat_the_border_of_the_image_once(objects: Any) -> None:
    # Cells of 4 px; the image's first rows and columns lie 1 px deep in the cells that hold them.
    target = objects([[0, 0, 30, 30]])
    place = torch.tensor([[0, 0, 0, 0]])
    corner = torch.tensor([[-3.0, -3.0, 9.0, 9.0]])
    windows = Windows(*[torch.zeros(1, dtype=torch.long)] * 3, corner, place)
    seen = {
        kind: mask_targets([target], windows, torch.tensor([0]), (3, 3), kind)[0].tolist()
        for kind in ("binary", "detectron2")
    }
    assert seen["binary"] == [[0, 0, 0], [0, 1, 1], [0, 1, 1]]  # 4 of 16 px at the sides
    assert seen["detectron2"] == [[0, 1, 1], [1, 1, 1], [1, 1, 1]]  # 8 of 16


@pytest.mark.parametrize(
    ("boxes", "missed"),
    [([], 0), (FIRST, 0), ([[1, 1, 95, 63]], 1), ([*LAST, [1, 1, 95, 63]], 1)],
)
def test_objects_without_a_window_are_counted(objects: Any, boxes: Any, missed: int) -> None:
    assert find_positives(RULE, GRID, [objects(boxes)]).without_window == missed


def test_crowds_are_not_missed(objects: Any) -> None:
    found = find_positives(RULE, GRID, [objects([[1, 1, 95, 63]], iscrowd=[1])])
    assert (found.without_window, len(found.labels)) == (0, 0)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("masks", (1, 60, 96)), ("boxes", (1, 5)), ("boxes", (2, 4)), ("iscrowd", (2,))],
)
def test_shapes_that_do_not_fit_are_refused(objects: Any, name: str, shape: Any) -> None:
    target = objects([[4, 4, 36, 36]]) | {name: torch.zeros(shape)}
    with pytest.raises(ValueError, match=rf"{name} .* 1 labels .* \(64, 96\) px, got \({shape[0]}"):
        check_targets([target], [torch.zeros(3, 64, 96)], 3)


def test_missing_entries_are_named(objects: Any) -> None:
    with pytest.raises(ValueError, match=r"boxes, labels and masks, got \['boxes'\] in row 0"):
        check_targets([{"boxes": torch.zeros(0, 4)}], [torch.zeros(3, 64, 96)], 3)
