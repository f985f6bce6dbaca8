"""Class, box and mask branch: units, shapes, and sparse masks against dense ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from tensormask_core import Aligned, WindowGrid
from tensormask_zoo.tensormask.head import BipyramidMaskHead, ClassBoxHead, HeadWidths

WIDTHS = HeadWidths(class_channels=8, box_channels=8, mask_channels=8, depth=1)
LEVELS = 3


def mask_head(sigma_vu: int) -> BipyramidMaskHead:
    torch.manual_seed(0)
    head = BipyramidMaskHead(
        6, stem_channels=4, windows=((5, 3), (7, 7)), stride=4, sigma_vu=sigma_vu, widths=WIDTHS
    )
    for cells in head.cells:
        torch.nn.init.normal_(cells.weight)
    return head


def aligned(head: BipyramidMaskHead) -> Iterator[tuple[int, list[Aligned[Tensor]]]]:
    """The aligned tensors of each level for two images of 48 x 72 px."""
    levels = [torch.rand(2, 6, -(-12 // 2**k), -(-18 // 2**k)) for k in range(LEVELS)]
    finest = head.finest(levels[0], torch.rand(2, 4, 24, 36))
    for k, level in enumerate(levels):
        yield k, head(level, finest, k)


@pytest.mark.parametrize("sigma_vu", [2, 4])
def test_aligned_tensors_have_the_units_of_their_level(sigma_vu: int) -> None:
    for k, tensors in aligned(mask_head(sigma_vu)):
        assert [(t.sigma_vu, t.sigma_hw) for t in tensors] == [(4 * 2**k, sigma_vu)] * 2


@pytest.mark.parametrize(("sigma_vu", "extent"), [(2, (24, 36)), (4, (12, 18))])
def test_aligned_tensors_lie_on_the_finest_grid(sigma_vu: int, extent: tuple[int, int]) -> None:
    for _, tensors in aligned(mask_head(sigma_vu)):
        assert [t.shape for t in tensors] == [(2, 5, 3, *extent), (2, 7, 7, *extent)]


@pytest.mark.parametrize("sigma_vu", [2, 4])
@torch.no_grad()
def test_masks_of_some_windows_are_those_of_the_whole_bipyramid_level(sigma_vu: int) -> None:
    head = mask_head(sigma_vu)
    index = torch.tensor([[0, 0, 0], [1, 1, 2], [0, 2, 4], [1, 2, 0]])
    for k, tensors in aligned(head):
        for tensor in tensors:
            dense = tensor.natural(sigma_vu=sigma_vu, sigma_hw=4 * 2**k, pad_value=-6.0).data
            n, y, x = index.T
            expected = dense.permute(0, 3, 4, 1, 2)[n, y, x]  # (K, V, U)
            assert torch.allclose(head.masks(tensor, index, k), expected, atol=1e-5)


@pytest.mark.parametrize("sigma_vu", [2, 4])
@torch.no_grad()
def test_masks_have_the_cells_that_the_head_announces(sigma_vu: int) -> None:
    head = mask_head(sigma_vu)
    for k, tensors in aligned(head):
        for size, tensor in enumerate(tensors):
            shape = head.masks(tensor, torch.zeros(1, 3, dtype=torch.long), k).shape
            assert tuple(shape[1:]) == head.cells_of(k, size)


@pytest.mark.parametrize(
    ("sigma_vu", "level", "cells"), [(4, 0, 5), (4, 2, 20), (2, 0, 10), (2, 2, 40)]
)
def test_cells_keep_their_length_while_windows_double(
    sigma_vu: int, level: int, cells: int
) -> None:
    assert mask_head(sigma_vu).cells_of(level, 0) == (cells, cells * 3 // 5)


@torch.no_grad()
def test_a_mask_beyond_the_image_is_empty() -> None:
    head = mask_head(4)
    (_, tensors), *_ = aligned(head)
    (mask,) = head.masks(tensors[0], torch.zeros(1, 3, dtype=torch.long), 0)
    assert (mask[:2] == -6.0).all()  # the window of node (0, 0) begins 2.5 cells above


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
    assert shared.deltas.in_channels == 256
