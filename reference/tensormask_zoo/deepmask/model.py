"""DeepMask: class-agnostic mask proposals from patches (Pinheiro, Collobert and Dollar, 2015)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from tensormask_core import Natural, ops
from tensormask_zoo.deepmask import losses
from tensormask_zoo.deepmask.head import Head
from tensormask_zoo.deepmask.patches import Patch
from tensormask_zoo.deepmask.placement import PatchRule
from tensormask_zoo.deepmask.proposals import found_windows, kept_proposals
from tensormask_zoo.deepmask.pyramid import (
    Level,
    PyramidInference,
    at_scale,
    best_windows,
    grid_of,
    surrounded,
    usable_scales,
)
from tensormask_zoo.deepmask.training import (
    PatchBatch,
    PatchTraining,
    checked_targets,
    draw_patches,
)
from tensormask_zoo.deepmask.trunk import Trunk
from tensormask_zoo.image_batching import IMAGE_MEAN, IMAGE_STD, Target, check_images
from tensormask_zoo.tensormask.postprocess import Detections
from tensormask_zoo.tensormask.results import WindowMasks, as_torchvision

SettingsT = TypeVar("SettingsT")


class DeepMask(nn.Module):
    """A proposal network that speaks torchvision's detection API, with 1 as its only label.

    Trained on patches, run convolutionally on all scales of an image. What objects are called
    does not matter: labels of targets are not read.

    Masks are returned as probabilities p' with ``logit(p') = logit(p) - logit(mask_threshold)``:
    the published threshold of 0.2 lies at 0.5 of what is returned, where users of torchvision's
    detectors and COCO encoders cut. Between cells they interpolate p', where the released code
    interpolates logits.

    Args:
        trunk: returns feature maps, coarsest first.
        head: vectors, scores and masks of the windows of the coarsest.
        rule: where training patches lie; :class:`PatchRule` or its arguments.
        training: :class:`PatchTraining` or its arguments.
        inference: :class:`PyramidInference` or its arguments.

    Raises:
        ValueError: the rule's patches are not the windows of the network.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        trunk: Trunk,
        head: Head,
        *,
        rule: PatchRule | Mapping[str, Any] | None = None,
        training: PatchTraining | Mapping[str, Any] | None = None,
        inference: PyramidInference | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head
        self.rule = _settings(PatchRule, rule, patch_px=head.kernel * trunk.stride)
        self.patch_training = _settings(PatchTraining, training)
        self.inference = _settings(PyramidInference, inference)
        self.register_buffer("mean", torch.tensor(IMAGE_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(IMAGE_STD)[:, None, None], persistent=False)
        self._check_patches()

    @property
    def window_px(self) -> int:
        """Side of a window at scale 1."""
        return self.head.kernel * self.trunk.stride

    def forward(
        self, images: list[Tensor], targets: list[Target] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Return losses in training mode, proposals in evaluation mode.

        Args:
            images: RGB (3, H, W) in [0, 1], of any sizes.
            targets: in training, per image ``boxes`` (N, 4) XYXY px, ``masks`` (N, H, W) and
                optionally ``iscrowd`` and ``area`` (N,). Images without a usable object give
                negative patches.

        Returns:
            Of ``loss_mask`` and ``loss_score`` those of this batch; or per image ``boxes``,
            ``labels``, ``scores`` and ``masks`` (D, 1, H, W) in [0, 1], best first.

        Raises:
            TypeError: an image is no tensor of floating point.
            ValueError: images or targets that cannot be meant, or training without targets.
        """
        check_images(images)
        if not self.training:
            sizes = [(image.shape[-2], image.shape[-1]) for image in images]
            found = self.detect(images)
            return [as_torchvision(*one, size) for one, size in zip(found, sizes, strict=True)]
        return self.losses(images, checked_targets(targets, images))

    def losses(self, images: Sequence[Tensor], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Draw patches and return the losses that they train."""
        batch = PatchBatch.of(self._draw(images, targets))
        maps = self.trunk(self._normalised(batch.images))
        vectors, scores = self.head(self._windows_of(maps)[0])
        found: dict[str, Tensor] = {}
        if len(batch.masked):
            found |= self._mask_losses(vectors[batch.masked, :, 0, 0], maps, batch)
        if len(batch.labelled):
            scored = scores[batch.labelled, 0, 0]
            weight = self.patch_training.score_weight
            found["loss_score"] = losses.score_loss(scored, batch.labels, weight)
        return found

    def predict_patches(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Return mask logits (B, V, U) and score logits (B,) of patches (B, 3, S, S) in [0, 1].

        Patches have the rule's context around them; masks are those of the window within.
        """
        maps = self.trunk(self._normalised(patches))
        vectors, scores = self.head(self._windows_of(maps)[0])
        return self._patch_masks(vectors[..., 0, 0], maps), scores[:, 0, 0]

    @torch.no_grad()
    def detect(self, images: Sequence[Tensor]) -> list[tuple[Detections, list[WindowMasks]]]:
        """Return proposals with their window masks, in the coordinates of ``images``.

        Boxes are the tight boxes of the masks; proposals whose mask is empty are dropped. Scales
        at which an image has no pixel left are left out.
        """
        return [self._detect(image) for image in images]

    def dense(self, image: Tensor, scale: float = 1.0) -> tuple[Natural[Tensor], Tensor]:
        """Return the masks of all windows of an image, and their scores.

        Args:
            image: RGB (3, H, W) in [0, 1].
            scale: of the image.

        Returns:
            Mask logits (V, U, H', W'), with units in px of the image, and score logits
            (H', W') of the same windows; window (y, x) is centred on ``sigma_hw * (y, x)``.
        """
        level = self.level(image, scale)
        height, width = level.scores.shape
        index = torch.cartesian_prod(torch.arange(height), torch.arange(width))
        masks = self._masks(level, index.to(image.device))  # (H' W', V, U)
        v, u = masks.shape[-2:]
        data = ops.from_channels(masks.reshape(height, width, v * u).permute(2, 0, 1), (v, u))
        units = (self.window_px / scale / v, self.trunk.stride / scale)
        return Natural(data, *units), level.scores

    def level(self, image: Tensor, scale: float) -> Level:
        """Return what the network says of an image (3, H, W) at one scale."""
        padded = surrounded(
            at_scale(image, scale),
            window_px=self.window_px,
            stride=self.trunk.stride,
            surround=self.inference.surround,
        )
        maps = self.trunk(self._normalised(padded)[None])
        vectors, scores = self.head(maps[0])
        return Level(scale, scores[0].float(), vectors[0], self._skips(maps))

    def _detect(self, image: Tensor) -> tuple[Detections, list[WindowMasks]]:
        """Find the best windows of all scales, and the masks of these only."""
        size = (image.shape[-2], image.shape[-1])
        scales = usable_scales(self.inference.scales, size)
        levels = [self.level(image, scale) for scale in scales]
        window, scores = best_windows([x.scores for x in levels], self.inference.proposals)
        grid = grid_of(levels, stride=self.trunk.stride, window_px=self.window_px)
        groups = []
        for k, rows, index, boxes in found_windows(grid, window):
            logits = self._masks(levels[k], index).float()
            shifted = logits - _logit(self.inference.mask_threshold)
            groups.append(WindowMasks(rows, shifted.sigmoid(), boxes))
        return kept_proposals(scores.sigmoid(), window, groups, size)

    def _masks(self, level: Level, index: Tensor) -> Tensor:
        """Return mask logits (K, V, U) of the windows (K, 2) y and x of a level."""
        return self.head.masks_of(level.vectors[:, index[:, 0], index[:, 1]].T)

    def _mask_losses(
        self, vectors: Tensor, maps: Sequence[Tensor], batch: PatchBatch
    ) -> dict[str, Tensor]:
        """Return the losses of masks, from the vectors of masked patches and the maps of all."""
        masks = upsampled(self.head.masks_of(vectors), batch.masks)
        return {"loss_mask": losses.mask_loss(masks, batch.masks)}

    def _patch_masks(self, vectors: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Return mask logits (B, V, U) of patches from their vectors and maps."""
        return self.head.masks_of(vectors)

    def _skips(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return what masks are refined with: nothing."""
        return ()

    def _windows_of(self, maps: Sequence[Tensor], ring: int = 0) -> list[Tensor]:
        """Cut the context of patches off their maps, which may have a ring around them."""
        cells = self.rule.context_px // self.trunk.stride
        cut = []
        for j, x in enumerate(maps):
            edge, side = cells * 2**j, self.head.kernel * 2**j + ring
            cut.append(x[..., edge : edge + side, edge : edge + side])
        return cut

    def _draw(self, images: Sequence[Tensor], targets: Sequence[Target]) -> list[Patch]:
        """Draw the patches of a training step."""
        return draw_patches(images, targets, self.rule, self.patch_training)

    def _normalised(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std

    def _check_patches(self) -> None:
        if self.rule.patch_px != self.window_px:
            raise ValueError(
                f"rule expects patch_px={self.window_px}, the window of {self.head.kernel} cells "
                f"of stride {self.trunk.stride}; got {self.rule.patch_px}"
            )
        if self.rule.context_px % self.trunk.stride:
            raise ValueError(
                f"context_px expects a multiple of the stride {self.trunk.stride}, got "
                f"{self.rule.context_px}"
            )


def upsampled(masks: Tensor, targets: Tensor) -> Tensor:
    """Return mask logits (M, V, U) at the size of their targets, bilinearly."""
    lam = targets.shape[-1] / masks.shape[-1]
    return ops.up_bilinear(masks[..., None, None], lam)[..., 0, 0]


def _settings(
    kind: type[SettingsT], given: SettingsT | Mapping[str, Any] | None, **defaults: Any
) -> SettingsT:
    """Return settings that were given as such, as arguments, or not at all."""
    if given is None or isinstance(given, Mapping):
        return kind(**(defaults | dict(given or {})))
    return given


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))
