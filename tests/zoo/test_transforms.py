"""Crops and transforms: image, masks and boxes change alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from tensormask_zoo.data.crops import RandomCrop, ShortSide
from tensormask_zoo.data.sample import Sample, make_target
from tensormask_zoo.data.transforms import eval_transforms, train_transforms


def square(rows: slice = slice(1, 7), columns: slice = slice(2, 8)) -> Sample:
    """A 12 x 20 px image of noise with one square, or with nothing if that has no pixel."""
    mask = np.zeros((1, 12, 20), np.uint8)
    mask[0, rows, columns] = 1
    masks = mask[mask.any(axis=(1, 2))]
    image = torch.rand((3, 12, 20), generator=torch.Generator().manual_seed(0))
    return tv_tensors.Image(image), make_target(masks, np.ones(len(masks), np.int64), image_id=1)


def test_random_crops_stay_inside_and_have_the_asked_size() -> None:
    torch.manual_seed(0)
    for _ in range(100):
        crop = RandomCrop((32, 48), scale=(0.5, 2.0))(100, 130)
        rows, columns = crop.region
        assert 0 <= rows.start < rows.stop <= 100
        assert 0 <= columns.start < columns.stop <= 130
        assert crop.out_size == (32, 48)


def test_random_crops_of_small_images_take_all_of_them() -> None:
    crop = RandomCrop((64, 64), scale=(0.5, 0.5))(100, 200)
    assert crop.region[0] == slice(0, 100)
    assert crop.out_size == (50, 64)


@pytest.mark.parametrize("scale", [(0.0, 1.0), (2.0, 1.0)])
def test_impossible_scales_are_named(scale: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="for scale, got"):
        RandomCrop((8, 8), scale)


def test_the_short_side_gives_way_to_the_longest() -> None:
    assert ShortSide((800,), longest=1333)(500, 1000).out_size == (666, 1333)


@pytest.mark.parametrize("options", [{"hflip": 1.0}, {"vflip": 1.0}, {"transpose": 1.0}])
def test_flips_move_image_masks_and_boxes_alike(options: dict[str, float]) -> None:
    image, target = square()
    image[:] = target["masks"][0]
    image, target = train_transforms(**{"hflip": 0.0, **options})(image, target)
    assert torch.equal(image[0], target["masks"][0].float())
    y, x = np.nonzero(target["masks"][0].numpy())
    assert target["boxes"].tolist() == [[x.min(), y.min(), x.max() + 1, y.max() + 1]]
    assert target["boxes"].tolist() != [[2, 1, 8, 7]]


def test_jitter_changes_colours_only_and_keeps_the_unit_range() -> None:
    image, target = square()
    changed, same = train_transforms(hflip=0.0, jitter=0.5)(image, target)
    assert not torch.equal(changed, image)
    assert 0 <= changed.min() <= changed.max() <= 1
    torch.testing.assert_close(same, target)


def test_padding_adds_black_on_the_right_and_below() -> None:
    image, target = train_transforms(hflip=0.0, pad_to=(16, 16))(*square())
    assert image.shape == (3, 16, 20)
    assert target["masks"].shape == (1, 16, 20)
    assert image[:, 12:].abs().max() == 0
    assert target["boxes"].canvas_size == (16, 20)


def test_remnants_too_small_to_show_an_outline_are_dropped() -> None:
    sample = square(rows=slice(4, 5), columns=slice(7, 10))
    assert len(eval_transforms()(*sample)[1]["labels"]) == 1
    assert len(train_transforms()(*sample)[1]["labels"]) == 0


def test_transforms_take_images_without_objects() -> None:
    transforms = train_transforms(vflip=1, transpose=1, jitter=0.1, pad_to=(32, 32))
    image, target = transforms(*square(rows=slice(0, 0)))
    assert target["masks"].shape == (0, *image.shape[1:])
