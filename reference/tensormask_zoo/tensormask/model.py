"""TensorMask: dense sliding-window instance segmentation (Chen et al., 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tensormask_core import WindowGrid
from tensormask_core.assign import TensorMaskRule
from tensormask_zoo.fpn import Backbone
from tensormask_zoo.image_batching import ImageBatching, Target
from tensormask_zoo.tensormask import losses
from tensormask_zoo.tensormask.boxes import encode_boxes
from tensormask_zoo.tensormask.class_box_head import ClassBoxHead
from tensormask_zoo.tensormask.mask_head import Finest, MaskHead, Masks
from tensormask_zoo.tensormask.postprocess import Detections, PostProcess, select
from tensormask_zoo.tensormask.results import WindowMasks, as_torchvision, by_image, rescale
from tensormask_zoo.tensormask.targets import (
    Rule,
    Windows,
    check_targets,
    find_positives,
    mask_targets,
)


class TensorMask(nn.Module):
    """A detector that speaks torchvision's detection API.

    Args:
        backbone: returns the pyramid levels and the stem map.
        class_box_head: class logits and box deltas per window.
        mask_head: aligned mask tensors per level.
        rule: labels the windows in training.
        soft_targets: train masks on the covered share of each cell rather than on 0 and 1.
        mask_share: share of a batch's images whose masks are trained. Masks are learnt sooner
            than classes; less than 1 buys iterations where the mask branch dominates the time.
        limits: thresholds and counts of the detections.
        batching: ``min_size``, ``max_size``, ``image_mean`` and ``image_std`` of
            :class:`ImageBatching`.
    """

    def __init__(
        self,
        backbone: Backbone,
        class_box_head: ClassBoxHead,
        mask_head: MaskHead,
        *,
        rule: Rule | None = None,
        soft_targets: bool = True,
        mask_share: float = 1.0,
        limits: PostProcess | Mapping[str, Any] | None = None,
        **batching: Any,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.class_box_head = class_box_head
        self.mask_head = mask_head
        self.rule: Rule = rule or TensorMaskRule()
        self.soft_targets = soft_targets
        self.mask_share = mask_share
        self.limits = limits if isinstance(limits, PostProcess) else PostProcess(**(limits or {}))
        self.transform = ImageBatching(size_divisible=backbone.coarsest_stride, **batching)

    def grid(self, image_size: tuple[int, int]) -> WindowGrid:
        """Return where the windows of a batch of padded ``image_size`` (H, W) are."""
        return WindowGrid.pyramid(
            image_size=image_size,
            sigma=self.backbone.stride,
            windows=self.mask_head.windows,
            levels=self.backbone.levels,
        )

    def forward(
        self, images: list[Tensor], targets: list[Target] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Return losses in training mode, detections in evaluation mode.

        Args:
            images: RGB (3, H, W) in [0, 1], of any sizes.
            targets: in training, per image ``boxes`` (N, 4) XYXY px, ``labels`` (N,) from 1,
                ``masks`` (N, H, W) and optionally ``iscrowd`` (N,).

        Returns:
            ``loss_classifier``, ``loss_box_reg`` and ``loss_mask``; or per image ``boxes``,
            ``labels``, ``scores`` and ``masks`` (D, 1, H, W) in [0, 1], best first.

        Raises:
            ValueError: training without a target for each image, or a label out of range.
        """
        if self.training:
            if targets is None:
                raise ValueError("training expects targets, got None; call .eval() to detect")
            check_targets(targets, len(images), self.class_box_head.num_classes)
            return self.losses(images, targets)
        return [
            as_torchvision(*result, (image.shape[-2], image.shape[-1]))
            for result, image in zip(self.detect(images), images, strict=True)
        ]

    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """Return the three losses of a batch."""
        batch, targets = self.transform(images, targets)
        levels, stem = self.backbone(batch.tensors)
        logits, deltas = self.class_box_head(levels)
        found = find_positives(self.rule, self.grid(tuple(batch.tensors.shape[-2:])), targets)
        windows = found.windows
        count = max(1, len(windows.window))
        goals = encode_boxes(found.boxes, windows.window_boxes)
        where = (windows.image, windows.window)
        return {
            "loss_classifier": losses.focal_star(logits.float(), (*where, found.labels)) / count,
            "loss_box_reg": losses.box_loss(deltas[where].float(), goals) / count,
            "loss_mask": self._mask_loss(levels, stem, windows, targets),
        }

    def detect(self, images: list[Tensor]) -> list[tuple[Detections, list[WindowMasks]]]:
        """Return detections with their window masks, in the coordinates of ``images``.

        Window masks are all that a COCO encoder needs; :meth:`forward` pastes them into images.
        """
        batch, _ = self.transform(images)
        levels, stem = self.backbone(batch.tensors)
        grid = self.grid(tuple(batch.tensors.shape[-2:]))
        found = [
            select(logits, deltas, grid, self.limits)
            for logits, deltas in zip(*self.class_box_head(levels), strict=True)
        ]
        masks = self._window_masks(levels, stem, found, grid)
        return [
            rescale(detections, windows, resized, (image.shape[-2], image.shape[-1]))
            for detections, windows, resized, image in zip(
                found, masks, batch.image_sizes, images, strict=True
            )
        ]

    def _mask_loss(
        self, levels: list[Tensor], stem: Tensor, windows: Windows, targets: list[Target]
    ) -> Tensor:
        images = max(1, round(self.mask_share * len(targets)))
        windows = windows.subset((windows.image < images).nonzero()[:, 0])
        levels, stem = [level[:images] for level in levels], stem[:images]
        total = levels[0].new_zeros((), dtype=torch.float32)
        aligned = _LazyAligned(self.mask_head, levels, stem)
        for level, size, rows in windows.groups():
            logits = self.mask_head.masks(aligned(level, size), windows.index(rows), level)
            goals = mask_targets(
                targets, windows, rows, (logits.shape[-2], logits.shape[-1]), self.soft_targets
            )
            total = total + losses.mask_loss(logits, goals)
        return total / max(1, len(windows.window))

    def _window_masks(
        self, levels: list[Tensor], stem: Tensor, found: list[Detections], grid: WindowGrid
    ) -> list[list[WindowMasks]]:
        """Evaluate the masks of the detections only, all images of a level and size at once."""
        windows = by_image(found, grid)
        aligned = _LazyAligned(self.mask_head, levels, stem)
        results: list[list[WindowMasks]] = [[] for _ in found]
        for level, size, here in windows.groups():
            logits = self.mask_head.masks(aligned(level, size), windows.index(here), level)
            masks = logits.float().sigmoid()
            for n in torch.unique(windows.image[here]).tolist():
                mine = windows.image[here] == n
                rows, boxes = windows.object[here][mine], windows.window_boxes[here][mine]
                results[n].append(WindowMasks(rows, masks[mine], boxes))
        return results


class _LazyAligned:
    """The aligned tensors of a batch, each level computed once and only when it is needed."""

    def __init__(self, head: MaskHead, levels: list[Tensor], stem: Tensor) -> None:
        self._head, self._levels = head, levels
        self._stem = stem
        self._finest: Finest | None = None
        self._done: dict[int, list[Masks]] = {}

    def __call__(self, level: int, size: int) -> Masks:
        if self._finest is None:
            self._finest = self._head.finest(self._levels[0], self._stem)
        if level not in self._done:
            self._done[level] = self._head(self._levels[level], self._finest, level)
        return self._done[level][size]
