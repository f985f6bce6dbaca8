"""Augmentation of images with instances, composed of `torchvision.transforms.v2`.

Resizing and cropping are chosen before reading (`tensormask_zoo.data.crops`); what is here works on
the part that was read. Boxes and areas are measured on the masks at the end, so they stay tight.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import pad
from torchvision import tv_tensors
from torchvision.transforms import v2

from tensormask_zoo.data.sample import Sample, Target, make_target

MIN_AREA_PX = 4  # what is left of an object at the edge of a crop; less shows no outline


def train_transforms(
    *,
    hflip: float = 0.5,
    vflip: float = 0.0,
    transpose: float = 0.0,
    jitter: float = 0.0,
    pad_to: tuple[int, int] | None = None,
) -> v2.Compose:
    """Compose the random changes of training.

    Args:
        hflip: Chance to mirror left and right.
        vflip: Chance to mirror up and down, for pictures without an upright.
        transpose: Chance to swap rows and columns; with both flips this gives all quarter turns.
        jitter: Strength of random brightness, contrast and saturation (factors in
            1 - jitter .. 1 + jitter) and hue (shift by at most a quarter of it).
        pad_to: Pad smaller images to this (H, W), in black, on the right and below.

    Returns:
        A callable from (image, target) to (image, target).

    Example:
        >>> from tensormask_zoo.data.shapes import Shapes
        >>> image, target = train_transforms(pad_to=(160, 128))(*Shapes(length=1)[0])
        >>> tuple(image.shape)
        (3, 160, 128)
    """
    steps: list[nn.Module] = [v2.RandomHorizontalFlip(hflip), v2.RandomVerticalFlip(vflip)]
    if transpose:
        steps.append(RandomTranspose(transpose))
    if jitter:
        steps.append(v2.ColorJitter(jitter, jitter, jitter, min(jitter / 4, 0.5)))
    if pad_to:
        steps.append(PadTo(pad_to))
    return v2.Compose([*steps, Measure()])


def eval_transforms() -> v2.Compose:
    """Compose the changes of evaluation: boxes and areas are measured, nothing is moved.

    Returns:
        A callable from (image, target) to (image, target).
    """
    return v2.Compose([Measure(min_area_px=1)])


class RandomTranspose(nn.Module):
    """Swap rows and columns with a given chance."""

    def __init__(self, chance: float) -> None:
        super().__init__()
        self.chance = chance

    def forward(self, image: tv_tensors.Image, target: Target) -> Sample:
        """Swap the last two axes of the image and the masks; boxes are left to `Measure`."""
        if torch.rand(()) >= self.chance:
            return image, target
        masks = tv_tensors.Mask(target["masks"].mT.contiguous())
        return tv_tensors.Image(image.mT.contiguous()), {**target, "masks": masks}


class PadTo(nn.Module):
    """Pad image and masks with zeros on the right and below, up to a given (H, W)."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, image: tv_tensors.Image, target: Target) -> Sample:
        """Pad where the image is smaller; a larger one is left as it is."""
        height, width = image.shape[1:]
        border = (0, max(self.size[1] - width, 0), 0, max(self.size[0] - height, 0))
        masks = tv_tensors.Mask(pad(target["masks"], border))
        return tv_tensors.Image(pad(image, border)), {**target, "masks": masks}


class Measure(nn.Module):
    """Drop objects of which too little is left, and measure boxes and areas on the masks."""

    def __init__(self, min_area_px: int = MIN_AREA_PX) -> None:
        super().__init__()
        self.min_area_px = min_area_px

    def forward(self, image: tv_tensors.Image, target: Target) -> Sample:
        """Return the same image and a new target."""
        kept = target["masks"].flatten(1).sum(1) >= self.min_area_px
        measured = make_target(
            target["masks"][kept].numpy(),
            target["labels"][kept].numpy(),
            image_id=target["image_id"],
            iscrowd=target["iscrowd"][kept].numpy(),
        )
        return image, measured
