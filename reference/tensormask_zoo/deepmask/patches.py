"""Training patches: cut from an image, with the mask of their object or a label for the score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from tensormask_core.masks import crop_and_resize
from tensormask_zoo.deepmask.placement import (
    PatchRule,
    Placement,
    Rng,
    has_scale,
    mask_placement,
    negative_placement,
    positive_placement,
)
from tensormask_zoo.image_batching import Target

Kind = Literal["mask", "object", "positive", "negative"]
SMALLEST_CROP_PX = 10  # of the released code


@dataclass(frozen=True)
class Patch:
    """A training patch.

    Attributes:
        image: (3, S, S) RGB in [0, 1], context included.
        label: +1 or -1 for the score, or None where it is not trained.
        mask: (G, G), +1 on the object and -1 elsewhere, of the window without context; or None.
    """

    image: Tensor
    label: float | None = None
    mask: Tensor | None = None


def sample_patch(
    image: Tensor,
    target: Target,
    rng: Rng = None,
    *,
    kind: Kind = "mask",
    rule: PatchRule | None = None,
    target_px: int = 112,
    object: int | None = None,
) -> Patch:
    """Draw a training patch from an image.

    Args:
        image: RGB (3, H, W) in [0, 1].
        target: ``boxes`` (N, 4) XYXY px, ``masks`` (N, H, W), optionally ``iscrowd`` and ``area``.
        rng: generator on the CPU; torch's own when omitted.
        kind: "mask" for an object with its mask, "positive" and "negative" for the score alone,
            "object" for an object that trains both.
        rule: where patches lie; the released code's when omitted.
        target_px: rows and columns of the mask.
        object: the object, of masks; drawn uniformly from the usable ones when omitted.

    Raises:
        ValueError: the image has no object that serves; see :func:`mask_objects` and
            :func:`score_objects`.

    Example:
        >>> mask = torch.zeros(1, 120, 160)
        >>> mask[0, 40:80, 50:90] = 1
        >>> target = {"boxes": torch.tensor([[50.0, 40, 90, 80]]), "masks": mask}
        >>> patch = sample_patch(torch.rand(3, 120, 160), target)
        >>> tuple(patch.image.shape), tuple(patch.mask.shape)
        ((3, 192, 192), (112, 112))
    """
    rule = rule or PatchRule()
    boxes: list[list[float]] = target["boxes"].as_subclass(Tensor).tolist()
    if kind == "negative":
        placed = [box for box in boxes if has_scale(box)]
        size = (image.shape[-2], image.shape[-1])
        return _cut(image, negative_placement(placed, size, rule, rng), rule, rng, label=-1)
    if kind in ("mask", "object"):
        chosen = object
        if chosen is None:
            usable = _at_least_one(mask_objects(target, rule))
            chosen = usable[int(torch.randint(len(usable), (), generator=rng))]
        placement = mask_placement(boxes[chosen], rule, rng)
        masks = target["masks"][chosen][None].as_subclass(Tensor)
        label = None if kind == "mask" else 1.0
        return _cut(image, placement, rule, rng, label=label, masks=masks, target_px=target_px)
    scored = _at_least_one(score_objects(target, rule))
    return _cut(
        image, positive_placement([boxes[k] for k in scored], rule, rng), rule, rng, label=1
    )


def mask_objects(target: Target, rule: PatchRule) -> list[int]:
    """Return the objects that have mask patches: neither crowds nor too small."""
    boxes = target["boxes"].as_subclass(Tensor)
    area = target["area"] if "area" in target else target["masks"].flatten(1).sum(dim=1)
    sides = boxes[:, 2:] - boxes[:, :2]
    usable = (area >= rule.least_area_px2) & (sides >= rule.least_side_px).all(dim=1)
    return [int(k) for k in (usable & ~_crowd(target)).nonzero()[:, 0]]


def score_objects(target: Target, rule: PatchRule) -> list[int]:
    """Return the objects that have positive score patches: of some size, usually no crowds."""
    boxes = target["boxes"].as_subclass(Tensor).tolist()
    crowd = [False] * len(boxes) if rule.crowds_score else _crowd(target).tolist()
    return [k for k, box in enumerate(boxes) if has_scale(box) and not crowd[k]]


def _at_least_one(objects: list[int]) -> list[int]:
    """Refuse an image without an object that a positive patch could show."""
    if not objects:
        raise ValueError(
            "a positive patch expects an object that is no crowd and not too small, got none; "
            "draw a negative one, or lower the rule's least_area_px2 and least_side_px"
        )
    return objects


def _crowd(target: Target) -> Tensor:
    boxes = target["boxes"].as_subclass(Tensor)
    crowd = target.get("iscrowd")
    none = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    return none if crowd is None else crowd.to(torch.bool)


def _cut(
    image: Tensor,
    placement: Placement,
    rule: PatchRule,
    rng: Rng,
    *,
    label: float | None = None,
    masks: Tensor | None = None,
    target_px: int = 0,
) -> Patch:
    """Cut a patch with its mask (of masks (1, H, W)), mirrored at times."""
    corner, side = _crop(placement, rule, (image.shape[-2], image.shape[-1]), label)
    pixels = _resized_crop(image.as_subclass(Tensor), corner, side, rule)
    mask = None
    if masks is not None:
        edge = side * rule.context_px / rule.side_px
        top, left = corner[0] + edge, corner[1] + edge
        inner = side - 2 * edge
        window = [[left, top, left + inner, top + inner]]
        inside = crop_and_resize(masks, window, (target_px, target_px), soft=False)
        mask = 2 * inside[0].to(image.dtype) - 1
    if float(torch.rand((), generator=rng)) < rule.flip:
        pixels, mask = pixels.flip(-1), None if mask is None else mask.flip(-1)
    return Patch(pixels, label, mask)


def _crop(
    placement: Placement, rule: PatchRule, image_size: tuple[int, int], label: float | None
) -> tuple[tuple[int, int], int]:
    """Return the first row and column, and the side, of the pixels that make a patch."""
    side = max(round(rule.side_px * 2**placement.octaves), SMALLEST_CROP_PX)
    centre = [placement.y, placement.x]
    if label is not None:  # a score's patch has its centre in the image
        centre = [min(max(c, 0.0), float(e)) for c, e in zip(centre, image_size, strict=True)]
    return (round(centre[0] - side / 2), round(centre[1] - side / 2)), side


def _resized_crop(image: Tensor, corner: tuple[int, int], side: int, rule: PatchRule) -> Tensor:
    """Return the patch (3, S, S) of a square of the image, which it may leave."""
    pads, inside = [], image
    for axis in (2, 1):  # columns come first in torch's pad
        start, extent = corner[axis - 1], image.shape[axis]
        low, high = (min(max(edge, 0), extent) for edge in (start, start + side))
        before = min(max(-start, 0), side)
        pads += [before, side - before - (high - low)]
        inside = inside.narrow(axis, low, high - low)
    square = F.pad(inside, pads, value=rule.fill)
    shape = (rule.side_px, rule.side_px)
    return F.interpolate(square[None], size=shape, mode="bilinear", antialias=True)[0]
