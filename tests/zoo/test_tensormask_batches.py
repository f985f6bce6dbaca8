"""What is computed where: batches of any sizes, chosen windows, one level at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tensormask_core import WindowGrid
from tensormask_zoo.fpn import Backbone
from tensormask_zoo.models import tensormask
from tensormask_zoo.tensormask import TensorMask
from tensormask_zoo.tensormask.conv_at import convs_at
from tensormask_zoo.tensormask.deltas_at import deltas_at
from tensormask_zoo.tensormask.mask_head import MaskHead
from tensormask_zoo.tensormask.mask_tensors import MaskTensors
from tensormask_zoo.tensormask.targets import Windows
from tensormask_zoo.tensormask.window_places import boxes_of, places_of
from tensormask_zoo.towers import HeadWidths, conv_tower
from tensormask_zoo.trunk import SmallTrunk

GRID = WindowGrid.pyramid(image_size=(72, 96), windows=((9, 5), (11, 11)), levels=3)
SIZES = [(64, 96), (1, 1), (50, 45), (17, 33), (64, 65), (40, 96)]


def narrow(*, norm_groups: int | None = None, **settings: Any) -> TensorMask:
    """An untrained model whose scores, boxes and masks differ from window to window."""
    torch.manual_seed(0)
    widths = HeadWidths(
        class_channels=8, box_channels=8, mask_channels=8, depth=2, norm_groups=norm_groups
    )
    trunk = SmallTrunk(stem=8, widths=(8, 8, 8, 8), blocks=1)
    settings = {
        "windows": ((9, 9), (7, 5)),
        "min_size": None,
        "limits": {"score_threshold": 0.1, "detections": 20},
    } | settings
    norm = nn.BatchNorm2d if norm_groups else None
    backbone = Backbone(trunk, channels=16, levels=3, norm=norm)
    model = tensormask(backbone, num_classes=3, widths=widths, **settings)
    with torch.no_grad():
        for name, p in (
            *model.class_box_head.named_parameters(),
            *model.mask_head.named_parameters(),
        ):
            if p.dim() == 4:
                nn.init.normal_(p, std=0.2 if "cells" not in name else 1.0)
        model.class_box_head.logits.bias.fill_(-1)
    return model.eval()


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert torch.equal(found["labels"], expected["labels"])
    assert torch.allclose(found["scores"], expected["scores"], atol=1e-5)
    assert torch.allclose(found["boxes"], expected["boxes"], atol=1e-3)
    assert torch.allclose(found["masks"], expected["masks"], atol=1e-4)


@pytest.mark.parametrize("norm_groups", [None, 4])
@torch.no_grad()
def test_a_batch_of_any_sizes_gives_the_results_of_its_images(norm_groups: int | None) -> None:
    torch.manual_seed(1)
    model = narrow(norm_groups=norm_groups)
    pictures = [torch.rand(3, *size) for size in SIZES]
    together = model(pictures)
    assert sum(len(found["boxes"]) for found in together) > 40
    for found, picture in zip(together, pictures, strict=True):
        assert_same(found, model([picture])[0])


@torch.no_grad()
def test_no_images_have_no_results() -> None:
    assert narrow()([]) == []


@torch.no_grad()
def test_uint8_images_are_refused_in_detection_too() -> None:
    with pytest.raises(TypeError, match="divide images of 0 to 255 by 255"):
        narrow()([torch.zeros(3, 8, 8, dtype=torch.uint8)])


def test_places_and_boxes_are_those_of_the_grid() -> None:
    window = torch.arange(len(GRID))
    place = places_of(GRID, window)
    assert place.T.tolist() == [part.tolist() for part in GRID.unravel(window.numpy())]
    assert boxes_of(GRID, place).tolist() == GRID.boxes().tolist()


@pytest.mark.parametrize("depth", [0, 1, 4])
@pytest.mark.parametrize("count", [1, 5, 500])
def test_convolutions_at_some_nodes_are_those_of_the_whole_map(depth: int, count: int) -> None:
    torch.manual_seed(0)
    layers = [*conv_tower(3, 4, depth), nn.Conv2d(4 if depth else 3, 2, 3, padding=1)]
    for layer in layers[::2]:
        nn.init.normal_(layer.bias)  # padding is 0 for each layer, not what a layer makes of 0
        nn.init.normal_(layer.weight)
    x = torch.rand(2, 3, 61, 47)
    corners = torch.tensor([[0, 0, 0], [1, 60, 46], [0, 60, 0], [1, 0, 46]])
    inside = torch.stack([torch.randint(side, (count,)) for side in (2, 61, 47)], dim=1)
    node = torch.cat([corners, inside])
    expected = nn.Sequential(*layers)(x)[node[:, 0], :, node[:, 1], node[:, 2]]
    assert torch.allclose(convs_at(layers, x, node), expected, atol=1e-5, rtol=1e-5)


def test_few_nodes_cost_little_and_gradients_reach_the_map() -> None:
    convolution = nn.Conv2d(3, 2, 3, padding=1)
    computed: list[int] = []
    convolution.register_forward_hook(lambda _, inputs, __: computed.append(inputs[0].numel()))
    x = torch.rand(1, 3, 100, 100, requires_grad=True)
    convs_at([convolution], x, torch.tensor([[0, 50, 50]])).sum().backward()
    assert computed[0] < x.numel() / 100
    assert x.grad is not None
    assert x.grad[0, 0].nonzero().tolist() == [[y, x] for y in (49, 50, 51) for x in (49, 50, 51)]


def test_a_normalised_tower_sees_the_whole_map() -> None:
    torch.manual_seed(0)
    tower = conv_tower(4, 4, 1, norm_groups=2)
    x, node = torch.rand(1, 4, 40, 40), torch.tensor([[0, 20, 20]])
    assert torch.allclose(convs_at(list(tower), x, node)[0], tower(x)[0, :, 20, 20], atol=1e-6)


@torch.no_grad()
def test_deltas_of_some_windows_are_those_of_all() -> None:
    model = narrow()
    levels, _ = model.backbone(torch.rand(2, 3, 64, 96))
    _, deltas = model.class_box_head(levels)
    grid = model.grid((64, 96))
    window = torch.randperm(len(grid))[:30]
    windows = Windows.of(grid, torch.arange(30) % 2, window, window)
    expected = deltas[windows.image, window]
    assert torch.allclose(deltas_at(model.class_box_head, levels, windows), expected, atol=1e-5)


def test_a_head_without_a_box_tower_has_its_deltas_elsewhere() -> None:
    model = narrow(box_head=False)
    with pytest.raises(TypeError, match="a head with a box tower"):
        deltas_at(model.class_box_head, [], Windows(*[torch.zeros(0)] * 5))


@torch.no_grad()
def test_features_of_each_level_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    head, made = narrow().mask_head, list[int]()
    monkeypatch.setattr(
        type(head),
        "features",
        lambda self, level, finest, k, make=MaskHead.features: (
            made.append(k) or make(self, level, finest, k)
        ),
    )
    levels = [torch.rand(1, 16, 24 // 2**k, 32 // 2**k) for k in range(3)]
    tensors = MaskTensors(head, levels, torch.rand(1, 8, 48, 64))
    for k in range(3):
        for size in (0, 1, 0):
            tensors.masks(k, size, torch.zeros(1, 3, dtype=torch.long))
    assert made == [0, 1, 2]
