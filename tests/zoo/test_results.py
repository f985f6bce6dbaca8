"""Detections with window masks, as users and COCO get them."""

from __future__ import annotations

import pytest
import torch

from tensormask_core import WindowGrid
from tensormask_core.masks import decode, paste
from tensormask_zoo.tensormask.postprocess import Detections
from tensormask_zoo.tensormask.results import (
    WindowMasks,
    as_rles,
    as_torchvision,
    by_image,
    rescale,
)

SIZE = (40, 60)
Found = tuple[Detections, list[WindowMasks]]


@pytest.fixture
def found() -> Found:
    """Four detections, the third outside of the image, with masks of two sizes."""
    torch.manual_seed(0)
    boxes = torch.tensor([[2.0, 3, 22, 33], [-8, -8, 12, 12], [70, 5, 90, 25], [30, 20, 75, 50]])
    detections = Detections(
        boxes, torch.tensor([1, 2, 1, 3]), torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.arange(4)
    )
    rows = torch.tensor([3, 0]), torch.tensor([1, 2])
    sizes = (12, 10), (6, 6)
    masks = [WindowMasks(r, torch.rand(2, *s), boxes[r]) for r, s in zip(rows, sizes, strict=True)]
    return detections, masks


def test_boxes_outside_the_image_are_dropped_with_their_masks(found: Found) -> None:
    kept, masks = rescale(*found, SIZE, SIZE)
    assert kept.window.tolist() == [0, 1, 3]
    assert kept.labels.tolist() == [1, 2, 3]
    assert [group.rows.tolist() for group in masks] == [[2, 0], [1]]


def test_masks_stay_with_their_detections(found: Found) -> None:
    before = as_torchvision(*found, SIZE)["masks"]
    after = as_torchvision(*rescale(*found, SIZE, SIZE), SIZE)["masks"]
    assert torch.equal(after, before[[0, 1, 3]])


def test_boxes_are_clipped_and_windows_are_not(found: Found) -> None:
    kept, masks = rescale(*found, SIZE, SIZE)
    assert kept.boxes[1:].tolist() == [[0.0, 0.0, 12.0, 12.0], [30.0, 20.0, 60.0, 40.0]]
    assert masks[1].boxes.tolist() == [[-8.0, -8.0, 12.0, 12.0]]


def test_rows_and_columns_are_scaled_apart(found: Found) -> None:
    kept, masks = rescale(*found, SIZE, (80, 180))
    assert kept.boxes[0].tolist() == [6.0, 6.0, 66.0, 66.0]  # x three times, y twice
    assert masks[0].boxes[1].tolist() == [6.0, 6.0, 66.0, 66.0]


def test_torchvision_masks_are_the_pasted_windows(found: Found) -> None:
    detections, masks = found
    pasted = as_torchvision(detections, masks, SIZE)["masks"]
    for group in masks:
        expected = paste(group.probabilities, group.boxes, SIZE)
        assert torch.equal(pasted[group.rows, 0], expected)


def test_run_lengths_are_those_of_the_pasted_masks(found: Found) -> None:
    pasted = as_torchvision(*found, SIZE)["masks"][:, 0] >= 0.5
    assert torch.equal(torch.from_numpy(decode(as_rles(*found, SIZE))), pasted)


def test_no_detections_make_empty_results() -> None:
    none = Detections(torch.zeros(0, 4), *[torch.zeros(0, dtype=torch.long)] * 3)
    kept, masks = rescale(none, [], SIZE, (80, 120))
    assert as_rles(kept, masks, SIZE) == []
    assert as_torchvision(kept, masks, SIZE)["masks"].shape == (0, 1, *SIZE)


def test_windows_of_a_batch_know_their_image_and_row(found: Found) -> None:
    grid = WindowGrid.pyramid(image_size=SIZE, windows=(9,), levels=1)
    windows = by_image([found[0], found[0]], grid)
    assert windows.image.tolist() == [0] * 4 + [1] * 4
    assert windows.object.tolist() == [0, 1, 2, 3] * 2
