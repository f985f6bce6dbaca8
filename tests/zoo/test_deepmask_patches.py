"""DeepMask's training patches: what they show, and which objects may be on them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tensormask_core.masks import tight_boxes
from tensormask_zoo.deepmask.class_balance import ClassBalance
from tensormask_zoo.deepmask.patches import Patch, mask_objects, sample_patch, score_objects
from tensormask_zoo.deepmask.placement import PatchRule
from tensormask_zoo.deepmask.training import (
    PatchBatch,
    PatchTraining,
    checked_targets,
    draw_patches,
)

SIZE = (240, 320)
BOX = [100, 80, 192, 140]  # 92 px: canonical at scale 1
STILL = PatchRule(shift_px=0, octaves=0, flip=0)


def picture(target: dict[str, Any]) -> Tensor:
    """An image that shows its objects white on black."""
    return target["masks"].amax(dim=0).float().expand(3, *SIZE).clone()


def draw(target: dict[str, Any], rule: PatchRule = STILL, **settings: Any) -> Patch:
    return sample_patch(
        picture(target), target, torch.Generator().manual_seed(0), rule=rule, **settings
    )


def test_a_canonical_object_is_in_the_middle_at_its_size(objects: Any) -> None:
    patch = draw(objects([BOX], SIZE), target_px=160)
    assert patch.image.shape == (3, 192, 192)
    assert patch.mask is not None
    assert tight_boxes(patch.image[:1] > 0.5).tolist() == [[50, 66, 142, 126]]
    assert tight_boxes(patch.mask[None] > 0).tolist() == [[34, 50, 126, 110]]
    assert set(patch.mask.unique().tolist()) == {-1, 1}


def test_objects_of_other_sizes_are_shown_at_the_canonical_one(objects: Any) -> None:
    for box in ([60, 40, 244, 160], [20, 20, 43, 35]):
        patch = draw(objects([box], SIZE))
        x0, y0, x1, y1 = tight_boxes(patch.image[:1] > 0.5)[0].tolist()
        assert max(x1 - x0, y1 - y0) == pytest.approx(92, abs=3)
        assert (x0 + x1) / 2 == pytest.approx(96, abs=3)


@pytest.mark.parametrize("flip", [0, 1])
def test_the_mask_lies_over_its_object_wherever_the_patch_does(objects: Any, flip: int) -> None:
    target = objects([[100, 80, 192, 140], [200, 100, 260, 190]], SIZE)
    rng = torch.Generator().manual_seed(1)
    for _ in range(10):
        patch = sample_patch(
            picture(target), target, rng, rule=PatchRule(flip=flip), object=0, target_px=160
        )
        assert patch.mask is not None
        shown = patch.image[0, 16:176, 16:176] > 0.5
        wrong = (patch.mask > 0) & ~shown
        assert wrong.float().sum() <= 0.02 * (patch.mask > 0).float().sum()


def test_a_mirrored_patch_is_the_patch_mirrored(objects: Any) -> None:
    target = objects([[100, 80, 160, 172]], SIZE)
    target["masks"][0, :100, :120] = 0
    plain, mirrored = (draw(target, replace(STILL, flip=flip)) for flip in (0, 1))
    assert plain.mask is not None
    assert mirrored.mask is not None
    assert torch.equal(plain.image.flip(-1), mirrored.image)
    assert torch.equal(plain.mask.flip(-1), mirrored.mask)
    assert not torch.equal(plain.mask, mirrored.mask)


def test_outside_the_image_is_grey_and_no_mask(objects: Any) -> None:
    patch = draw(objects([[0, 0, 92, 60]], SIZE))
    assert patch.mask is not None
    assert (patch.image[:, :60, :40] == 0.5).all()
    assert (patch.mask[:20] == -1).all()


@pytest.mark.parametrize(("kind", "label"), [("positive", 1), ("negative", -1)])
def test_patches_of_scores_have_a_label_and_no_mask(objects: Any, kind: Any, label: int) -> None:
    patch = draw(objects([BOX], SIZE), kind=kind)
    assert patch.label == label
    assert patch.mask is None


def test_an_object_may_train_both(objects: Any) -> None:
    patch = draw(objects([BOX], SIZE), kind="object")
    assert patch.label == 1
    assert patch.mask is not None


def test_a_negative_needs_no_object(objects: Any) -> None:
    image = torch.rand(3, *SIZE)
    assert sample_patch(image, objects([], SIZE), kind="negative").image.isfinite().all()


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (17, 5)])
def test_images_of_any_size_give_patches(objects: Any, size: tuple[int, int]) -> None:
    target = objects([[0, 0, size[1], size[0]]], size)
    rule = PatchRule(least_area_px2=0, least_side_px=0)
    for kind in ("mask", "negative"):
        patch = sample_patch(torch.rand(3, *size), target, kind=kind, rule=rule)
        assert patch.image.shape == (3, 192, 192)


def test_a_placement_beside_the_image_is_grey(objects: Any) -> None:
    far = replace(STILL, shift_px=1e5)
    assert (draw(objects([BOX], SIZE), far).image == 0.5).all()


def test_patches_of_scores_have_their_centre_in_the_image(objects: Any) -> None:
    far = replace(STILL, shift_px=1e5, scores="paper")
    patch = draw(objects([BOX], SIZE), far, kind="positive")
    quarters = [patch.image[:, y, x] != 0.5 for y in (80, 111) for x in (80, 111)]
    assert torch.stack(quarters).any()


def test_crowds_and_small_objects_have_no_mask_patches(objects: Any) -> None:
    boxes = [BOX, BOX, [0, 0, 9, 11], [0, 0, 4, 60], [0, 0, 10, 10]]
    target = objects(boxes, SIZE, iscrowd=[0, 1, 0, 0, 0])
    assert mask_objects(target, PatchRule()) == [0, 4]


def test_the_area_is_that_of_the_mask(objects: Any) -> None:
    target = objects([BOX], SIZE)
    target["masks"][0, 80:138] = 0
    del target["area"]
    assert mask_objects(target, PatchRule()) == [0]  # 2 rows of 92 px are left
    target["masks"][0, 138] = 0
    assert mask_objects(target, PatchRule()) == []


def test_crowds_score_only_as_the_released_code_has_it(objects: Any) -> None:
    target = objects([BOX, BOX, [5, 5, 5, 5]], SIZE, iscrowd=[0, 1, 0])
    assert score_objects(target, PatchRule()) == [0]
    assert score_objects(target, PatchRule(crowds_score=True)) == [0, 1]


@pytest.mark.parametrize("kind", ["mask", "object", "positive"])
def test_a_positive_without_a_usable_object_is_refused(objects: Any, kind: Any) -> None:
    with pytest.raises(ValueError, match="expects an object that is no crowd and not too small"):
        draw(objects([BOX], SIZE, iscrowd=[1]), kind=kind)


def test_classes_are_drawn_before_objects(objects: Any) -> None:
    many, few = objects([BOX] * 9, SIZE), objects([BOX], SIZE)
    many["labels"], few["labels"] = torch.full((9,), 1), torch.tensor([7])
    balance = ClassBalance.of([many, few])
    rng = torch.Generator().manual_seed(0)
    found = [balance.draw(rng) for _ in range(200)]
    assert sum(image == 1 for image, _ in found) == pytest.approx(100, abs=25)
    assert {k for image, k in found if image == 0} == set(range(9))


def test_a_data_set_without_usable_objects_is_refused(objects: Any) -> None:
    with pytest.raises(ValueError, match="ClassBalance expects an object"):
        ClassBalance.of([objects([], SIZE)])


def drawn(targets: list[Any], **training: Any) -> PatchBatch:
    torch.manual_seed(0)
    images = [picture(t) if len(t["masks"]) else torch.zeros(3, *SIZE) for t in targets]
    return PatchBatch.of(draw_patches(images, targets, PatchRule(), PatchTraining(**training)))


def test_a_batch_of_masks_has_no_labels(objects: Any) -> None:
    batch = drawn([objects([BOX], SIZE)] * 2, score_share=0, patches_per_image=3)
    assert batch.masked.tolist() == list(range(6))
    assert batch.masks.shape == (6, 112, 112)
    assert not len(batch.labels)


def test_a_batch_of_scores_has_no_masks_and_is_half_positive(objects: Any) -> None:
    batch = drawn([objects([BOX], SIZE)] * 2, score_share=1, patches_per_image=50)
    assert not len(batch.masks)
    assert batch.labelled.tolist() == list(range(100))
    assert int((batch.labels > 0).sum()) == pytest.approx(50, abs=15)


def test_batches_alternate(objects: Any) -> None:
    target, training = objects([BOX], SIZE), PatchTraining(patches_per_image=1)
    torch.manual_seed(0)
    found = [
        draw_patches([picture(target)], [target], PatchRule(), training)[0].mask is None
        for _ in range(60)
    ]
    assert sum(found) == pytest.approx(30, abs=12)


def test_joint_batches_mask_their_positives_only(objects: Any) -> None:
    batch = drawn([objects([BOX], SIZE)], batches="joint", patches_per_image=20)
    assert len(batch.labels) == 20
    assert batch.masked.tolist() == (batch.labels > 0).nonzero()[:, 0].tolist()
    assert 0 < len(batch.masked) < 20


@pytest.mark.parametrize("training", [{"score_share": 0}, {"batches": "joint"}])
def test_images_without_objects_give_negatives(objects: Any, training: dict[str, Any]) -> None:
    batch = drawn([objects([], SIZE)] * 2, **training)
    assert batch.labels.tolist() == [-1] * 8
    assert not len(batch.masks)


def test_a_batch_of_masks_takes_them_where_they_are(objects: Any) -> None:
    batch = drawn([objects([], SIZE), objects([BOX], SIZE)], score_share=0)
    assert len(batch.images) == len(batch.masked) == 4


def test_targets_of_any_class_are_accepted(objects: Any) -> None:
    targets = [objects([BOX], SIZE) | {"labels": torch.tensor([80])}]
    assert checked_targets(targets, [torch.zeros(3, *SIZE)]) is targets


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": torch.tensor([[9.0, 0, 5, 5]])}, "x0 <= x1"),
        ({"boxes": torch.tensor([[0.0, 0, float("nan"), 5]])}, "finite"),
        ({"masks": torch.zeros(1, 8, 8)}, "masks"),
    ],
)
def test_targets_that_cannot_be_meant_are_refused(
    objects: Any, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        checked_targets([objects([BOX], SIZE) | change], [torch.zeros(3, *SIZE)])
