"""A model without a box head: boxes are those of the masks (appendix A.4)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tensormask_zoo.models import tensormask_small_fpn
from tensormask_zoo.tensormask import TensorMask, mask_boxes
from tensormask_zoo.tensormask.mask_tensors import MaskTensors
from tensormask_zoo.tensormask.targets import Windows

LIMITS = {"score_threshold": 0.3, "detections": 20}


class Discs(MaskTensors):
    """Masks of two sizes whose cells are mask where a rectangle of them says so."""

    def __init__(self, head: Any) -> None:
        self.head = head

    def masks(self, level: int, size: int, index: Tensor) -> Tensor:
        cells = torch.full((len(index), *self.head.cells_of(level, size)), -1.0)
        for cell, (_, y, _) in zip(cells, index.tolist(), strict=True):
            cell[1 : y + 1, 3:5] = 0.0  # probability 1/2 is mask; no row where y is 0
        return cells


@pytest.fixture
def boxless(detector: TensorMask) -> TensorMask:
    """The detector without its box head."""
    model = tensormask_small_fpn(num_classes=3, box_head=False, limits=LIMITS)
    model.load_state_dict(detector.state_dict(), strict=False)
    return model.eval()


def test_boxes_follow_the_edges_of_cells(detector: TensorMask) -> None:
    grid = detector.grid((64, 96))
    window = torch.tensor([grid.ravel(0, 2, 5, 0), grid.ravel(1, 4, 2, 0), grid.ravel(0, 0, 3, 0)])
    zero = torch.zeros_like(window)
    windows = Windows.of(grid, zero, window, zero)
    found = mask_boxes.mask_boxes(Discs(detector.mask_head), windows)
    x0, y0 = windows.window_boxes[:, :2].T  # cells are 2 px
    assert found[0].tolist() == [x0[0] + 6, y0[0] + 2, x0[0] + 10, y0[0] + 6]
    assert found[1].tolist() == [x0[1] + 6, y0[1] + 2, x0[1] + 10, y0[1] + 10]
    assert not (found[2, 2:] > found[2, :2]).any()


def test_windows_are_evaluated_once_and_some_at_a_time(
    detector: TensorMask, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid, asked = detector.grid((64, 96)), list[int]()
    monkeypatch.setattr(mask_boxes, "BUDGET", 3 * 18 * 18)
    monkeypatch.setattr(
        Discs,
        "masks",
        lambda self, level, size, index: asked.append(len(index)) or index[:, :1, None],
    )
    window = torch.tensor([7, 3, 3, 9, 7, 1, 5])  # of level 0
    windows = Windows.of(grid, torch.tensor([0, 0, 0, 0, 1, 1, 1]), window, window)
    assert mask_boxes.mask_boxes(Discs(detector.mask_head), windows).shape == (7, 4)
    assert asked == [3, 3]  # two windows 3 are one, two windows 7 are of two images


@torch.no_grad()
def test_boxes_are_those_of_the_masks(boxless: TensorMask) -> None:
    torch.manual_seed(0)
    (found,) = boxless([torch.rand(3, 64, 96)])
    assert 3 < len(found["boxes"]) <= 20
    for box, (mask,) in zip(found["boxes"], found["masks"], strict=True):
        rows, columns = (mask >= 0.5).nonzero().T
        tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert torch.allclose(box, torch.stack(tight).float(), atol=3)  # pasted masks are smoother


@torch.no_grad()
def test_the_masks_boxes_can_replace_the_regressed_ones(
    detector: TensorMask, boxless: TensorMask
) -> None:
    both = tensormask_small_fpn(num_classes=3, limits=LIMITS | {"nms": "mask_boxes"})
    both.load_state_dict(detector.state_dict())
    picture = torch.rand(3, 64, 96)
    (found,), (expected,) = both.eval()([picture]), boxless([picture])
    assert torch.equal(found["boxes"], expected["boxes"])
    assert not torch.equal(found["boxes"], detector([picture])[0]["boxes"])


def test_there_is_no_box_loss(objects: Any) -> None:
    model = tensormask_small_fpn(num_classes=3, box_head=False)
    found = model([torch.rand(3, 64, 96)], [objects([[4, 4, 36, 36]])])
    assert found.keys() == {"loss_classifier", "loss_mask"}


@torch.no_grad()
def test_nothing_found_has_no_boxes() -> None:
    model = tensormask_small_fpn(num_classes=3, box_head=False).eval()
    (found,) = model([torch.rand(3, 64, 96)])
    assert found["boxes"].shape == (0, 4)
