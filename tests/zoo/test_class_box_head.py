"""The class and box head: order of its outputs, prior, towers."""

from __future__ import annotations

import torch

from tensormask_core import WindowGrid
from tensormask_zoo.tensormask.class_box_head import ClassBoxHead
from tensormask_zoo.towers import HeadWidths

WIDTHS = HeadWidths(class_channels=8, box_channels=8, depth=1)


@torch.no_grad()
def test_class_and_box_outputs_are_in_the_order_of_the_grid() -> None:
    torch.manual_seed(0)
    head = ClassBoxHead(6, sizes=2, num_classes=3, widths=WIDTHS)
    levels = [torch.rand(1, 6, 4, 5), torch.rand(1, 6, 2, 3)]
    logits, deltas = head(levels)
    grid = WindowGrid.pyramid(image_size=(16, 20), windows=(9, 11), levels=2)
    index = int(grid.ravel(1, 0, 1, 1))
    maps = head.logits(head.class_tower(levels[1])), head.deltas(head.box_tower(levels[1]))
    assert torch.equal(logits[0, index], maps[0][0, 3:, 0, 1])
    assert torch.equal(deltas[0, index], maps[1][0, 4:, 0, 1])
    assert len(grid) == logits.shape[1] == deltas.shape[1]


def test_windows_start_with_the_prior_probability() -> None:
    head = ClassBoxHead(6, sizes=1, num_classes=2, widths=WIDTHS)
    logits, _ = head([torch.zeros(1, 6, 4, 4)])
    assert torch.allclose(logits.sigmoid(), torch.tensor(0.01), atol=1e-4)


def test_a_shared_tower_serves_classes_and_boxes() -> None:
    shared = ClassBoxHead(6, sizes=1, num_classes=2, widths=HeadWidths(share_towers=True))
    assert shared.box_tower is None
    assert shared.deltas is not None
    assert shared.deltas.in_channels == 256


def test_a_head_without_boxes_has_neither_tower_nor_deltas() -> None:
    head = ClassBoxHead(6, sizes=1, num_classes=2, widths=WIDTHS, boxes=False)
    logits, deltas = head([torch.zeros(1, 6, 4, 4)])
    assert deltas is None
    assert logits.shape == (1, 16, 2)
    assert not any("box" in name or "deltas" in name for name, _ in head.named_parameters())
