"""A training step: which patches of a batch of images train masks, scores or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tensormask_core.assign.candidates import as_boxes
from tensormask_zoo.deepmask.losses import SCORE_WEIGHT
from tensormask_zoo.deepmask.patches import (
    Kind,
    Patch,
    mask_objects,
    sample_patch,
    score_objects,
)
from tensormask_zoo.deepmask.placement import PatchRule
from tensormask_zoo.image_batching import Target
from tensormask_zoo.tensormask.targets import check_targets


@dataclass(frozen=True, kw_only=True)
class PatchTraining:
    """How a batch of images becomes a training step.

    Attributes:
        batches: "alternating" trains either the masks or the scores of a batch, as the released
            code, whose results are the better ones; "joint" both, as the paper's equation says.
        score_share: how often an alternating batch is one of scores.
        patches_per_image: patches drawn from each image.
        target_px: rows and columns at which masks are compared, after upsampling.
        score_weight: lambda, the weight of the score's loss.
    """

    batches: Literal["alternating", "joint"] = "alternating"
    score_share: float = 0.5
    patches_per_image: int = 4
    target_px: int = 112
    score_weight: float = SCORE_WEIGHT

    def __post_init__(self) -> None:
        if self.batches not in ("alternating", "joint"):
            raise ValueError(f"batches expects 'alternating' or 'joint', got {self.batches!r}")
        if not 0 <= self.score_share <= 1:
            raise ValueError(f"score_share expects a share in [0, 1], got {self.score_share}")
        if self.patches_per_image < 1:
            raise ValueError(
                f"patches_per_image expects at least 1, got {self.patches_per_image}"
            )  # fmt: skip


@dataclass(frozen=True)
class PatchBatch:
    """Patches of one training step.

    Attributes:
        images: (B, 3, S, S) RGB in [0, 1].
        labels: (L,) +1 or -1.
        labelled: (L,) the patches that have them.
        masks: (M, G, G) +1 or -1.
        masked: (M,) the patches that have them.
    """

    images: Tensor
    labels: Tensor
    labelled: Tensor
    masks: Tensor
    masked: Tensor

    @classmethod
    def of(cls, patches: Sequence[Patch]) -> PatchBatch:
        """Stack at least one patch."""
        images = torch.stack([patch.image for patch in patches])
        masked = [row for row, patch in enumerate(patches) if patch.mask is not None]
        labelled = [row for row, patch in enumerate(patches) if patch.label is not None]
        masks = [patch.mask for patch in patches if patch.mask is not None]
        device = images.device
        return cls(
            images,
            torch.tensor([p.label for p in patches if p.label is not None], device=device),
            torch.tensor(labelled, dtype=torch.long, device=device),
            torch.stack(masks) if masks else images.new_zeros((0, 1, 1)),
            torch.tensor(masked, dtype=torch.long, device=device),
        )


def checked_targets(targets: Sequence[Target] | None, images: Sequence[Tensor]) -> Sequence[Target]:
    """Return the targets of a batch, or refuse them; labels may be of any class.

    Raises:
        ValueError: no targets, or not one per image, or boxes or masks that do not fit.
    """
    if targets is None:
        raise ValueError("training expects targets, got None; call .eval() to detect")
    as_objects = [
        {name: torch.ones_like(x) if name == "labels" else x for name, x in target.items()}
        for target in targets
    ]
    check_targets(as_objects, images, num_classes=1)
    for target in targets:
        as_boxes(target["boxes"].as_subclass(Tensor).cpu().numpy())
    return targets


def draw_patches(
    images: Sequence[Tensor],
    targets: Sequence[Target],
    rule: PatchRule,
    training: PatchTraining,
) -> list[Patch]:
    """Draw the patches of a training step, of one kind or the other where batches alternate.

    A batch of masks without any usable object is one of scores. Images without one give
    negatives.
    """
    if training.batches == "joint":
        return draw_kinds(images, targets, ["object", "negative"], rule, training)
    if float(torch.rand(())) >= training.score_share:
        patches = draw_kinds(images, targets, ["mask"], rule, training)
        if patches:
            return patches
    return draw_kinds(images, targets, ["positive", "negative"], rule, training)


def draw_kinds(
    images: Sequence[Tensor],
    targets: Sequence[Target],
    kinds: Sequence[Kind],
    rule: PatchRule,
    training: PatchTraining,
) -> list[Patch]:
    """Draw patches from each image, of these kinds with equal chances; of those it can give."""
    patches = []
    for image, target in zip(images, targets, strict=True):
        usable = (score_objects if "positive" in kinds else mask_objects)(target, rule)
        possible = [kind for kind in kinds if usable or kind == "negative"]
        for _ in range(training.patches_per_image if possible else 0):
            kind = possible[int(torch.randint(len(possible), ()))]
            size = training.target_px
            patches.append(sample_patch(image, target, kind=kind, rule=rule, target_px=size))
    return patches
