"""DeepMask as a detector: patches against whole images, the pyramid, and torchvision's API."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tensormask_core.masks import tight_boxes
from tensormask_zoo.deepmask.model import DeepMask
from tensormask_zoo.deepmask.pyramid import grid_of
from tensormask_zoo.deepmask.trunk import small_trunk
from tensormask_zoo.deepmask.variants import deepmask, deepmask_small
from tensormask_zoo.tensormask.results import as_rles

SCALES = (0.5, 1.0)
BOX = [30, 20, 90, 60]
SIZE = (96, 128)


def small(**settings: Any) -> DeepMask:
    """A network whose convolutions see no further than 24 px, from random weights."""
    torch.manual_seed(0)
    given: dict[str, Any] = {
        "features": 8,
        "vector": 12,
        "mask_cells": 16,
        "training": {"batches": "joint", "target_px": 32},
        "inference": {"scales": SCALES, "proposals": 30},
    }
    trunk = small_trunk(stem=4, widths=(6, 8))
    model = deepmask(trunk, window_px=64, **(given | settings))
    for layer in (model.head.encode, model.head.decode):
        torch.nn.init.normal_(layer.weight, std=0.3)
    for layer in model.head.score:
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight, std=0.1)
    return model


def image(size: tuple[int, int] = SIZE, seed: int = 0) -> Tensor:
    return torch.rand(3, *size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model() -> DeepMask:
    return small().eval()


def constant_masks(model: DeepMask, logits: Tensor) -> DeepMask:
    """Let every window have the mask (V, U)."""
    torch.nn.init.zeros_(model.head.decode.weight)
    with torch.no_grad():
        model.head.decode.bias.copy_(logits.flatten())  # type: ignore[union-attr]  # it has one
    return model.eval()


@pytest.mark.parametrize("score_head", ["original", "A", "B", "C"])
@torch.no_grad()
def test_windows_inside_the_image_are_judged_as_patches(score_head: str) -> None:
    model = small(rule={"context_px": 24}, score_head=score_head).eval()
    picture = image((160, 176))
    masks, scores = model.dense(picture)
    for y, x in [(7, 7), (9, 8), (12, 13)]:  # centred on 8 y, 8 x; 56 px to each side
        patch = picture[:, 8 * y - 56 : 8 * y + 56, 8 * x - 56 : 8 * x + 56]
        mask, score = model.predict_patches(patch[None])
        assert torch.allclose(score[0], scores[y, x], atol=1e-4)
        assert torch.allclose(mask[0], masks.data[:, :, y, x], atol=1e-4)


@torch.no_grad()
def test_the_dense_masks_are_natural_with_a_score_for_each_window(model: DeepMask) -> None:
    masks, scores = model.dense(image(), scale=0.5)
    assert masks.shape == (16, 16, *scores.shape) == (16, 16, 48 // 8 + 1, 64 // 8 + 1)
    assert (masks.sigma_vu, masks.sigma_hw) == (64 / 16 / 0.5, 8 / 0.5)
    assert masks.window_extent == (128, 128)


@torch.no_grad()
def test_the_best_windows_of_all_scales_are_kept(model: DeepMask) -> None:
    dense = [model.dense(image(), scale)[1] for scale in SCALES]
    scores = torch.cat([s.flatten() for s in dense]).sigmoid().sort(descending=True).values
    ((found, groups),) = model.detect([image()])
    assert torch.allclose(found.scores, scores[:30], atol=1e-6)
    assert len(groups) == 2  # some of either scale


@torch.no_grad()
def test_masks_belong_to_the_windows_that_were_scored(model: DeepMask) -> None:
    ((found, groups),) = model.detect([image()])
    levels = [model.level(image(), scale) for scale in SCALES]
    grid = grid_of(levels, stride=8, window_px=64)
    place = grid.unravel(found.window.numpy())
    dense = [model.dense(image(), scale)[0].data for scale in SCALES]
    shift = math.log(0.2 / 0.8)
    for group in groups:
        for row, mask, box in zip(group.rows, group.probabilities, group.boxes, strict=True):
            level, y, x = (int(axis[row]) for axis in (place.level, place.y, place.x))
            expected = (dense[level][:, :, y, x] - shift).sigmoid()
            assert torch.allclose(mask, expected, atol=1e-5)
            side, stride = 64 / SCALES[level], 8 / SCALES[level]
            centre = [stride * x, stride * y]
            assert box.tolist() == [c + s * side / 2 for s in (-1, 1) for c in centre]


@torch.no_grad()
def test_the_cell_of_the_published_index_slip_has_another_mask(model: DeepMask) -> None:
    """The released code reads the mask one cell up and to the right of the best score."""
    masks, scores = model.dense(image(), scale=1.0)
    inner = scores[1:, :-1]
    best = int(inner.argmax())
    y, x = best // inner.shape[1] + 1, best % inner.shape[1]
    right, slipped = masks.data[:, :, y, x], masks.data[:, :, y - 1, x + 1]
    assert (right - slipped).abs().max() > 0.1


@pytest.mark.parametrize("threshold", [0.2, 0.1])
def test_the_threshold_of_masks_lies_at_a_half_of_what_is_returned(threshold: float) -> None:
    settings = {"scales": (1.0,), "proposals": 5, "mask_threshold": threshold}
    logit = math.log(threshold / (1 - threshold))
    if threshold == 0.2:
        assert logit == pytest.approx(-1.38629, abs=1e-5)
    for above, count in ((0.01, 5), (-0.01, 0)):
        model = constant_masks(small(inference=settings), torch.full((16, 16), logit + above))
        ((found, groups),) = model.detect([image()])
        assert len(found.boxes) == count
        assert all(len(rle["counts"]) > 3 for rle in as_rles(found, groups, SIZE))


def test_masks_go_back_to_their_place_and_size() -> None:
    left = torch.full((16, 16), -9.0)
    left[4:12, 2:8] = 9.0
    model = constant_masks(small(inference={"scales": (0.5,), "proposals": 63}), left)
    (found,) = model([image()])
    masks = found["masks"][:, 0]
    inside = (found["boxes"][:, :2] > 0).all(dim=1) & (
        found["boxes"][:, 2:] < torch.tensor([128, 96])
    ).all(dim=1)
    sides = (found["boxes"][:, 2:] - found["boxes"][:, :2])[inside]
    assert len(sides) > 3
    assert (sides == torch.tensor([48.0, 64.0])).all()  # 6 and 8 cells of 8 px
    assert ((found["boxes"][inside] + 64) % 16 == torch.tensor([0, 32, 0, 32]) % 16).all()
    assert torch.equal(tight_boxes(masks >= 0.5), found["boxes"])


def test_proposals_have_the_types_and_ranges_of_torchvision(model: DeepMask) -> None:
    (found,) = model([image()])
    count = len(found["boxes"])
    assert 0 < count <= 30
    assert found["labels"].tolist() == [1] * count
    assert found["masks"].shape == (count, 1, *SIZE)
    assert 0 <= found["masks"].min() < 0.5 < found["masks"].max() <= 1
    assert (found["scores"].diff() <= 0).all()
    x0, y0, x1, y1 = found["boxes"].T
    assert ((x0 >= 0) & (y0 >= 0) & (x1 <= 128) & (y1 <= 96) & (x1 > x0) & (y1 > y0)).all()


def test_rows_of_window_masks_are_those_of_the_boxes(model: DeepMask) -> None:
    ((found, groups),) = model.detect([image()])
    rows = torch.cat([group.rows for group in groups])
    assert rows.sort().values.tolist() == list(range(len(found.boxes)))


def test_images_of_a_batch_do_not_disturb_each_other(model: DeepMask) -> None:
    pictures = [image(), image((40, 33), seed=1)]
    together = model(pictures)
    for found, picture in zip(together, pictures, strict=True):
        (alone,) = model([picture])
        assert all(torch.equal(found[name], alone[name]) for name in alone)


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (7, 5)])
def test_images_smaller_than_any_window_are_read(model: DeepMask, size: tuple[int, int]) -> None:
    (found,) = model([image(size)])
    assert found["masks"].shape[-2:] == size


def test_detection_keeps_no_gradients(model: DeepMask) -> None:
    ((found, groups),) = model.detect([image()])
    assert not found.scores.requires_grad
    assert not groups[0].probabilities.requires_grad


def test_every_parameter_learns(objects: Any) -> None:
    model = small()
    found = model([image()], [objects([BOX], SIZE)])
    assert found.keys() == {"loss_mask", "loss_score"}
    torch.stack(list(found.values())).sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(("share", "loss"), [(0, "loss_mask"), (1, "loss_score")])
def test_alternating_batches_train_one_branch(objects: Any, share: float, loss: str) -> None:
    model = small(training={"score_share": share, "patches_per_image": 2})
    found = model([image()], [objects([BOX], SIZE)])
    assert found.keys() == {loss}
    found[loss].backward()
    other = model.head.score if loss == "loss_mask" else model.head.decode
    assert all(p.grad is None for p in other.parameters())


def test_a_few_steps_lower_the_loss(objects: Any) -> None:
    model = small(rule={"shift_px": 2, "octaves": 0.05}, score_head="B")
    target = objects([BOX], SIZE)
    picture = target["masks"][0].float().expand(3, *SIZE)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    course = []
    for _ in range(12):
        loss = torch.stack(list(model([picture] * 2, [target] * 2).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        course.append(loss.item())
    assert sum(course[-3:]) < 0.75 * sum(course[:3])


@pytest.mark.parametrize(
    "boxes", [[], [[10, 10, 11, 11]], [[10, 10, 10, 10]], [[10, 10, 40, 10]], [BOX] * 40]
)
def test_any_objects_have_finite_losses(objects: Any, boxes: Any) -> None:
    torch.manual_seed(1)
    found = small()([image()], [objects(boxes, SIZE)])
    assert found
    assert all(0 <= value < 1000 for value in found.values())


def test_a_crowd_is_no_object(objects: Any) -> None:
    found = small()([image()], [objects([BOX], SIZE, iscrowd=[1])])
    assert found.keys() == {"loss_score"}


def test_the_labels_of_objects_do_not_matter(objects: Any) -> None:
    target = objects([BOX], SIZE)
    found = []
    for label in (1, 80):
        model = small()
        torch.manual_seed(3)
        found.append(model([image()], [target | {"labels": torch.tensor([label])}]))
    assert found[0] == found[1]


def test_wrong_input_is_refused(objects: Any) -> None:
    model = small()
    with pytest.raises(ValueError, match="training expects targets, got None"):
        model([image()])
    with pytest.raises(ValueError, match="one target per image"):
        model([image()], [objects([])] * 2)
    with pytest.raises(ValueError, match=r"expects RGB \(3, H, W\)"):
        model.eval()([torch.zeros(1, 8, 8)])


def test_the_small_variant_detects_and_learns(objects: Any) -> None:
    torch.manual_seed(0)
    model = deepmask_small()
    assert model([image()], [objects([BOX], SIZE)])
    (found,) = model.eval()([image()])
    assert found["masks"].shape[1:] == (1, *SIZE)
