"""Masks made in tiles of the finest grid are those of whole maps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tensormask_zoo.tensormask import mask_tensors, tile_masks
from tensormask_zoo.tensormask.mask_design import MASK_HEADS, MaskDesign, Upsample
from tensormask_zoo.tensormask.mask_head import PAD_LOGIT, MaskHead
from tensormask_zoo.tensormask.mask_tensors import MaskTensors
from tensormask_zoo.tensormask.regions import Region, convs_by_tiles, tiles
from tensormask_zoo.tensormask.upsample import bring_part, bring_to, source_of
from tensormask_zoo.towers import HeadWidths, conv_tower

LEVELS, EXTENT = 4, (22, 35)  # a grid that no power of two divides
DESIGNS: list[dict[str, Any]] = [
    *({"head": head} for head in sorted(MASK_HEADS)),
    {"head": "upscale_aligned", "lam": 1.5, "vu_border": "pad"},
    {"sigma_vu": 2},
    {"vu_border": "pad", "upsample": "half_pixel"},
    {"vu_border": "pad", "upsample": "half_pixel", "sigma_vu": 2},
    {"norm_groups": 2},
    {"norm_groups": 2, "sigma_vu": 2},
]
ODD_AND_EVEN = ((9, 3), (6, 6), (9, 12))
Maps = tuple[list[Tensor], Tensor]


def head_of(norm_groups: int | None = None, **design: Any) -> MaskHead:
    torch.manual_seed(0)
    widths = HeadWidths(mask_channels=8, depth=2, norm_groups=norm_groups)
    head = MaskHead(
        6, stem_channels=4, windows=ODD_AND_EVEN, design=MaskDesign(**design), widths=widths
    )
    for name, parameter in head.named_parameters():
        torch.nn.init.normal_(parameter, std=0.3 if "weight" in name else 1.0)
    return head


@pytest.fixture
def maps() -> Maps:
    """Levels and stem map of two images."""
    torch.manual_seed(1)
    extents = [tuple(-(-side // 2**k) for side in EXTENT) for k in range(LEVELS)]
    levels = [torch.rand(2, 6, *extent) for extent in extents]
    return levels, torch.rand(2, 4, *(2 * side for side in EXTENT))


def every_window(level: Tensor) -> Tensor:
    n, _, h, w = level.shape
    return torch.cartesian_prod(*(torch.arange(side) for side in (n, h, w)))


def groups_of(levels: list[Tensor]) -> list[mask_tensors.Group]:
    sizes = range(len(ODD_AND_EVEN))
    return [(k, size, every_window(level)) for k, level in enumerate(levels) for size in sizes]


def whole(head: MaskHead, maps: Maps, group: mask_tensors.Group) -> Tensor:
    levels, stem = maps
    k, size, index = group
    tensors = head(levels[k], head.finest(levels[0], stem), k)
    return head.masks(tensors[size], index, k)


@pytest.mark.parametrize("design", DESIGNS, ids=str)
@torch.no_grad()
def test_tiles_make_the_masks_of_whole_maps(
    design: dict[str, Any], maps: Maps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(mask_tensors.TILE, "cpu", 9)
    head, groups = head_of(**design), groups_of(maps[0])
    found = MaskTensors(head, *maps).every_mask(groups)
    for group, masks in zip(groups, found, strict=True):
        expected = whole(head, maps, group)
        assert expected.std() > 1
        assert torch.allclose(masks, expected, atol=1e-4)


@pytest.mark.parametrize(("tile", "cells"), [(1, 1 << 18), (40, 1), (40, 200), (3, 1)])
@torch.no_grad()
def test_any_tile_and_any_number_of_windows_at_a_time_will_do(
    tile: int, cells: int, maps: Maps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(mask_tensors.TILE, "cpu", tile)
    monkeypatch.setattr(tile_masks, "CELLS", cells)
    head = head_of()
    group = (1, 1, torch.tensor([[0, 0, 0], [1, 5, 9], [0, 10, 17], [1, 5, 9]]))
    (masks,) = MaskTensors(head, *maps).every_mask([group])
    assert torch.allclose(masks, whole(head, maps, group), atol=1e-4)


@pytest.mark.parametrize("design", DESIGNS, ids=str)
@torch.no_grad()
def test_masks_of_one_group_are_those_of_the_whole_level(
    design: dict[str, Any], maps: Maps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(mask_tensors.TILE, "cpu", 16)
    head, tensors = head_of(**design), MaskTensors(head_of(**design), *maps)
    for k in range(LEVELS):
        group = (k, 1, every_window(maps[0][k])[::5])
        assert torch.allclose(tensors.masks(*group), whole(head, maps, group), atol=1e-4)


@torch.no_grad()
def test_only_tiles_that_windows_touch_are_made(
    maps: Maps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(mask_tensors.TILE, "cpu", 6)
    head, nodes = head_of(), list[int]()
    head.fuse.register_forward_hook(lambda _, __, y: nodes.append(y[0, 0].numel()))
    corner = (0, 0, torch.tensor([[1, 21, 34]]))
    MaskTensors(head, *maps).every_mask([corner])
    assert 0 < sum(nodes) < 22 * 35 / 4


@torch.no_grad()
def test_no_map_of_the_finest_grid_is_whole(maps: Maps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mask_tensors.TILE, "cpu", 8)
    head, largest = head_of(), list[int]()
    for layer in (head.tower, head.fuse, *head.cells):
        layer.register_forward_hook(lambda _, __, y: largest.append(y[:, 0].numel()))
    MaskTensors(head, *maps).every_mask(groups_of(maps[0]))
    assert max(largest) <= (8 + 2 * 4) ** 2  # a tile, the next node and what 2 + 1 layers see


@torch.no_grad()
def test_only_towers_of_levels_with_windows_are_made(maps: Maps) -> None:
    head, seen = head_of(), list[tuple[int, ...]]()
    head.tower.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[-2:]))
    MaskTensors(head, *maps).every_mask([(3, 0, torch.tensor([[0, 1, 2]]))])
    assert (3, 5) in seen
    assert not {(11, 18), (6, 9)} & set(seen)


@torch.no_grad()
def test_windows_beyond_the_grid_and_no_windows_are_fine(maps: Maps) -> None:
    none, beyond = torch.zeros(0, 3, dtype=torch.long), torch.tensor([[0, 21, 34]])
    tensors = MaskTensors(head_of(), *maps)
    assert tensors.every_mask([]) == []
    empty, masks = tensors.every_mask([(0, 0, none), (3, 1, beyond)])
    assert empty.shape == (0, 9, 3)
    assert (masks == PAD_LOGIT).all()


def test_gradients_flow_through_the_masks_of_groups(maps: Maps) -> None:
    head = head_of()
    sum(m.sum() for m in MaskTensors(head, *maps).every_mask(groups_of(maps[0]))).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in head.parameters())


@torch.no_grad()
def test_bfloat16_masks_are_close(maps: Maps) -> None:
    head, group = head_of(), (2, 1, torch.tensor([[0, 1, 3], [1, 5, 8]]))
    (expected,) = MaskTensors(head, *maps).every_mask([group])
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = MaskTensors(head, *maps).every_mask([group])
    assert found.dtype == torch.float32
    assert (found - expected).abs().mean() < 0.02 * expected.std()


@pytest.mark.parametrize("nodes", ["centred", "half_pixel"])
@pytest.mark.parametrize("scale", [1, 2, 8])
def test_a_part_is_brought_to_the_finest_grid_as_the_whole(nodes: Upsample, scale: int) -> None:
    torch.manual_seed(0)
    level, extent = torch.rand(2, 3, 5, 7), (5 * scale - scale // 2, 7 * scale)
    expected = bring_to(torch.zeros(extent), level, nodes)
    for region in tiles(Region((0, extent[0]), (0, extent[1])), 5):
        source = source_of(region, scale, (5, 7))
        found = bring_part(source.of(level), source, region, scale, nodes)
        assert torch.allclose(found, region.of(expected), atol=1e-6)


@torch.no_grad()
def test_a_tower_made_in_tiles_is_that_of_the_whole_map() -> None:
    torch.manual_seed(0)
    tower, x = conv_tower(4, 5, 3), torch.rand(2, 4, 13, 22)
    for layer in tower[::2]:
        torch.nn.init.normal_(layer.bias)  # what padding must stay zero against
        torch.nn.init.normal_(layer.weight, std=0.3)
    assert torch.allclose(convs_by_tiles(tower, x, 6), tower(x), atol=1e-4)


@pytest.mark.parametrize("longest", [1, 4, 5, 50])
def test_tiles_cover_each_node_once(longest: int) -> None:
    count = torch.zeros(9, 13)
    for tile in tiles(Region((0, 9), (0, 13)), longest):
        assert 1 <= min(tile.shape) <= max(tile.shape) <= longest
        tile.of(count).add_(1)
    assert (count == 1).all()
