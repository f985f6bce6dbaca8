"""The published losses, written down a second time: dense, in plain torch, gradients by autograd.

Only the convolutions are the model's own; windows, assignment, targets, the operator that makes
natural masks, and the losses are computed here from the golden data's description of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

from tensormask_zoo.convert import from_detectron2
from tensormask_zoo.tensormask import TensorMask

WINDOWS = (11, 15)
MEAN = torch.tensor([123.675, 116.28, 103.53])[:, None, None]
LOSSES = ("loss_classifier", "loss_box_reg", "loss_mask")
GRADIENTS = 2e-5  # of the largest of a tensor: float32, through 60 layers (measured: 5e-6)
SIZES = ((96, 128), (75, 118))  # the second one is padded, to 96 x 128 too

Target = dict[str, Tensor]


class Anchors(NamedTuple):
    """All windows of a batch's grid, in the order level, y, x, size."""

    boxes: Tensor  # (M, 4)
    place: Tensor  # (M, 4) level, y, x, size


def blobs(size: tuple[int, int], boxes: Sequence[Sequence[float]], seed: int) -> Target:
    """Objects with ragged outlines that touch all sides of their boxes."""
    generator = torch.Generator().manual_seed(seed)
    masks = torch.zeros(len(boxes), *size, dtype=torch.uint8)
    for mask, (x0, y0, x1, y1) in zip(masks, [[int(v) for v in box] for box in boxes], strict=True):
        noise = torch.rand(1, 1, 6, 6, generator=generator)
        soft = F.interpolate(noise, size=(y1 - y0, x1 - x0), mode="bilinear")[0, 0]
        mask[y0:y1, x0:x1] = soft > 0.4
        mask[y0, x0:x1] = mask[y1 - 1, x0:x1] = 1
        mask[y0:y1, x0] = mask[y0:y1, x1 - 1] = 1
    labels = torch.randint(1, 4, (len(boxes),), generator=generator)
    return {"boxes": torch.tensor(boxes, dtype=torch.float32), "labels": labels, "masks": masks}


CASES = {
    "small and large": ([[10, 12, 40, 36], [44, 30, 118, 84]], [[6, 8, 26, 30]]),
    "at the border": ([[0, 0, 31, 27], [90, 60, 128, 96]], [[60, 40, 118, 75], [0, 30, 22, 60]]),
    "as large as the image": ([[0, 0, 128, 96]], [[0, 0, 118, 75]]),
    "two objects in one place": (
        [[20, 20, 52, 50], [22, 20, 54, 52], [80, 50, 110, 80]],
        [[40, 20, 70, 50]],
    ),
    "a single pixel": ([[30, 30, 31, 31]], [[50, 20, 90, 60]]),
}


@pytest.fixture(scope="module")
def model(shared_dir: Path) -> TensorMask:
    with np.load(shared_dir / "golden" / "tensormask_d2_model.npz") as state:
        return from_detectron2(dict(state), min_size=None).train()


@pytest.fixture(scope="module", params=CASES)
def batch(request: pytest.FixtureRequest, shared_dir: Path) -> tuple[list[Tensor], list[Target]]:
    with np.load(shared_dir / "golden" / "tensormask_d2_outputs.npz") as golden:
        picture = torch.from_numpy(golden["eval_img0"].copy()).flip(0) / 255
    images = [picture, picture[:, 10 : 10 + SIZES[1][0], : SIZES[1][1]]]
    boxes = CASES[request.param]
    targets = [blobs(SIZES[n], boxes[n], seed=n) for n in range(2)]
    return images, targets


def anchors_of(extents: Sequence[tuple[int, int]]) -> Anchors:
    boxes, place = [], []
    for k, (height, width) in enumerate(extents):
        for y in range(height):
            for x in range(width):
                for size, side in enumerate(WINDOWS):
                    half, stride = side * 2 * 2**k, 4 * 2**k
                    cx, cy = x * stride, y * stride
                    boxes.append([cx - half, cy - half, cx + half, cy + half])
                    place.append([k, y, x, size])
    return Anchors(torch.tensor(boxes, dtype=torch.float32), torch.tensor(place))


def claims(anchors: Anchors, objects: Tensor) -> Tensor:
    """Whether each object (columns) satisfies the three conditions for each window (rows)."""
    a, g = anchors.boxes[:, None], objects[None]
    unit = 4 * 2.0 ** anchors.place[:, 0, None]
    contained = (a[..., :2] <= g[..., :2]).all(-1) & (a[..., 2:] >= g[..., 2:]).all(-1)
    longer = (g[..., 2:] - g[..., :2]).max(-1).values
    side = a[..., 2] - a[..., 0]
    of_scale = side - unit <= (2 * longer).clamp(min=40)
    apart = (a[..., :2] + a[..., 2:] - g[..., :2] - g[..., 2:]) / 2 / unit[..., None]
    return contained & of_scale & (apart.square().sum(-1) <= 1)


def box_targets(windows: Tensor, objects: Tensor) -> Tensor:
    size, goal = windows[:, 2:] - windows[:, :2], objects[:, 2:] - objects[:, :2]
    shift = (objects[:, :2] + objects[:, 2:] - windows[:, :2] - windows[:, 2:]) / 2 / size
    return torch.cat([1.5 * shift, 0.75 * (goal / size).log()], dim=1)


def swap_align2nat_at(x: Tensor, lam: int, y: int, x0: int) -> Tensor:
    """Natural mask (lam V, lam U) of one window from aligned (V, U, H, W): 16 taps, padding -6."""
    rows, columns = _taps(x.shape[0], x.shape[2], lam, y), _taps(x.shape[1], x.shape[3], lam, x0)
    total = x.new_zeros(())
    for v, y_in, weight_y, inside_y in rows:
        for u, x_in, weight_x, inside_x in columns:
            values = x[v[:, None], u[None], y_in[:, None], x_in[None]]
            inside = inside_y[:, None] & inside_x[None]
            padded = torch.where(inside, values, torch.tensor(-6.0))
            total = total + weight_y[:, None] * weight_x[None] * padded
    return total


def _taps(cells: int, extent: int, lam: int, node: int) -> list[tuple[Tensor, ...]]:
    """Both axes of one direction: cell, place, weight and whether they exist, for four taps."""
    v = torch.arange(lam * cells)
    at_cell, at_place = (v + 0.5) / lam - 0.5, node * lam + v + 0.5 - lam * cells / 2
    taps: list[tuple[Tensor, ...]] = []
    for cell, cell_weight in _linear(at_cell):
        for place, place_weight in _linear(at_place):
            inside = (cell >= 0) & (cell < cells) & (place >= 0) & (place < extent)
            taps.append((cell.clamp(0, cells - 1), place.clamp(0, extent - 1),
                         cell_weight * place_weight, inside))  # fmt: skip
    return taps


def _linear(at: Tensor) -> list[tuple[Tensor, Tensor]]:
    low = at.floor()
    return [(low.long(), 1 - (at - low)), (low.long() + 1, at - low)]


def mask_target(mask: Tensor, window: Tensor, cells: int) -> Tensor:
    """The published binary target: RoIAlign at 1/2, which has the image's edge pixels twice."""
    crop: Tensor = roi_align(mask[None, None].float(), [window[None]], cells, aligned=True)
    return (crop[0, 0] >= 0.5).float()


def aligned_maps(model: TensorMask, levels: list[Tensor], k: int) -> list[Tensor]:
    """The published fusion: half-pixel upsampling, cropped, plus the finest tower's output."""
    head: Any = model.mask_head
    finest, features = head.tower(levels[0]), head.tower(levels[k])
    if k:
        features = F.interpolate(features, scale_factor=2**k, mode="bilinear", align_corners=False)
    height, width = finest.shape[-2:]
    fused = head.fuse(features[..., :height, :width] + finest)
    return [
        cells(fused).unflatten(1, (side, side))
        for cells, side in zip(head.cells, WINDOWS, strict=True)
    ]


def class_loss(logits: Tensor, goals: Tensor) -> Tensor:
    """FL* over every window and class, padded area included."""
    weight = torch.where(goals > 0, 0.3, 0.7)
    return (weight * F.softplus(-3 * logits * (2 * goals - 1)) / 3).sum()


def plain_losses(model: TensorMask, images: list[Tensor], targets: list[Target]) -> list[Tensor]:
    padded = torch.zeros(len(images), 3, *[math.ceil(side / 32) * 32 for side in SIZES[0]])
    for image, place in zip(images, padded, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image * 255 - MEAN
    levels, _ = model.backbone(padded)
    logits, deltas = model.class_box_head(levels)
    assert deltas is not None
    anchors = anchors_of([tuple(level.shape[-2:]) for level in levels])
    goals, count = torch.zeros_like(logits), 0
    box, mask = torch.zeros(()), torch.zeros(())
    maps = [aligned_maps(model, levels, k) for k in range(len(levels))]
    for n, target in enumerate(targets):
        fits = claims(anchors, target["boxes"])
        windows = (fits.sum(1) == 1).nonzero()[:, 0]
        objects = fits[windows].float().argmax(1)
        goals[n, windows, target["labels"][objects] - 1] = 1
        wanted = box_targets(anchors.boxes[windows], target["boxes"][objects])
        box = box + (deltas[n, windows] - wanted).abs().sum()
        for window, i in zip(windows, objects, strict=True):
            k, y, x, size = anchors.place[window].tolist()
            natural = swap_align2nat_at(maps[k][size][n], 2**k, y, x)
            truth = mask_target(target["masks"][i], anchors.boxes[window], len(natural))
            positive, negative = truth * F.softplus(-natural), (1 - truth) * F.softplus(natural)
            mask = mask + 2 / len(natural) ** 2 * (1.5 * positive + negative).sum()
        count += len(windows)
    return [part / max(1, count) for part in (class_loss(logits, goals), box, mask)]


@pytest.fixture(scope="module")
def losses(model: TensorMask, batch: Any) -> list[tuple[Tensor, Tensor]]:
    """Ours and the plain computation's, loss by loss."""
    found = model(*batch)
    return list(zip([found[name] for name in LOSSES], plain_losses(model, *batch), strict=True))


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_the_published_formula(losses: Any, name: str) -> None:
    ours, plain = losses[LOSSES.index(name)]
    assert ours.item() == pytest.approx(plain.item(), rel=2e-6)
    assert ours > 0


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_of_a_loss_is_that_of_the_published_formula(
    model: TensorMask, losses: Any, name: str
) -> None:
    learnt = {n: p for n, p in model.named_parameters() if p.requires_grad}
    ours, plain = (
        torch.autograd.grad(loss, list(learnt.values()), retain_graph=True, materialize_grads=True)
        for loss in losses[LOSSES.index(name)]
    )
    for parameter, our, their in zip(learnt, ours, plain, strict=True):
        assert (our - their).abs().max() <= GRADIENTS * their.abs().max(), parameter


def test_the_cases_have_ambiguous_windows_and_edge_rings(shared_dir: Path) -> None:
    anchors = anchors_of([(24, 32), (12, 16), (6, 8), (3, 4), (2, 2), (1, 1)])
    two = blobs(SIZES[0], CASES["two objects in one place"][0], 0)
    assert (claims(anchors, two["boxes"]).sum(1) > 1).any()
    corner, window = torch.ones(96, 128), torch.tensor([-30.0, -30.0, 30.0, 30.0])
    assert mask_target(corner, window, 15).sum() == 8 * 8  # 30 px and the ring: 31 of 32
