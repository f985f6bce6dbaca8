"""TensorMask: dense sliding-window instance segmentation (Chen et al., 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import torch
from torch import Tensor, nn

from tensormask_core import WindowGrid
from tensormask_core.assign import TensorMaskRule
from tensormask_zoo.fpn import Backbone
from tensormask_zoo.image_batching import ImageBatching, ImageSize, Target, check_images, size_of
from tensormask_zoo.tensormask import losses
from tensormask_zoo.tensormask.boxes import decode_boxes, encode_boxes
from tensormask_zoo.tensormask.class_box_head import ClassBoxHead
from tensormask_zoo.tensormask.deltas_at import deltas_at
from tensormask_zoo.tensormask.mask_boxes import mask_boxes
from tensormask_zoo.tensormask.mask_head import MaskHead
from tensormask_zoo.tensormask.mask_tensors import MaskTensors
from tensormask_zoo.tensormask.postprocess import Detections, PostProcess, candidates, suppress
from tensormask_zoo.tensormask.results import (
    WindowMasks,
    as_torchvision,
    rescale,
    window_masks,
)
from tensormask_zoo.tensormask.targets import (
    MaskTargets,
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
        mask_targets: what mask cells are trained on: the covered "coverage" of a cell; "binary",
            whether it is half at least; or "detectron2", the same as published, where the image's
            border is repeated one pixel further.
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
        mask_targets: MaskTargets = "coverage",
        mask_share: float = 1.0,
        limits: PostProcess | Mapping[str, Any] | None = None,
        **batching: Any,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.class_box_head = class_box_head
        self.mask_head = mask_head
        self.rule: Rule = rule or TensorMaskRule()
        if mask_targets not in get_args(MaskTargets):
            expected = ", ".join(get_args(MaskTargets))
            raise ValueError(f"mask_targets expects one of {expected}, got {mask_targets!r}")
        self.mask_targets: MaskTargets = mask_targets
        self.mask_share = mask_share
        self.limits = limits if isinstance(limits, PostProcess) else PostProcess(**(limits or {}))
        self.transform = ImageBatching(size_divisible=backbone.coarsest_stride, **batching)

    def grid(self, image_size: ImageSize) -> WindowGrid:
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
            ``loss_classifier``, ``loss_box_reg`` (with a box head) and ``loss_mask``; or per image
            ``boxes``, ``labels``, ``scores`` and ``masks`` (D, 1, H, W) in [0, 1], best first.

        Raises:
            TypeError: images that are not of floating point.
            ValueError: images far outside [0, 1] or not RGB; training without a target that fits
                each image, or with a label out of range.
        """
        if not self.training:
            found = zip(self.detect(images), images, strict=True)
            return [as_torchvision(*result, size_of(image)) for result, image in found]
        if targets is None:
            raise ValueError("training expects targets, got None; call .eval() to detect")
        check_images(images)
        check_targets(targets, images, self.class_box_head.num_classes)
        return self.losses(images, targets)

    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """Return the losses of a batch: sums over windows divided by the positive ones."""
        batch, targets = self.transform(images, targets)
        levels, stem = self.backbone(batch.tensors)
        logits, deltas = self.class_box_head(levels, every_box=False)
        found = find_positives(self.rule, self.grid(size_of(batch.tensors)), targets)
        windows = found.windows
        where = (windows.image, windows.window, found.labels)
        count = max(1, len(windows.window))
        total = {"loss_classifier": losses.focal_star(logits.float(), where) / count}
        if self.class_box_head.deltas is not None:
            chosen = self._deltas(deltas, levels, windows)
            goals = encode_boxes(found.boxes, windows.window_boxes)
            total["loss_box_reg"] = losses.box_loss(chosen, goals) / count
        total["loss_mask"] = self._mask_loss(levels, stem, windows, targets)
        return total

    def detect(self, images: list[Tensor]) -> list[tuple[Detections, list[WindowMasks]]]:
        """Return detections with their window masks, in the coordinates of ``images``.

        Images of one size are computed together; the result of an image does not depend on the
        others. Window masks are all that a COCO encoder needs; :meth:`forward` pastes them.
        """
        check_images(images)
        results: dict[int, tuple[Detections, list[WindowMasks]]] = {}
        for rows, batch in self.transform.batches(images):
            found = zip(rows, self._detect(batch.tensors), batch.image_sizes, strict=True)
            for row, result, resized in found:
                results[row] = rescale(*result, resized, size_of(images[row]))
        return [results[row] for row in range(len(images))]

    def _detect(self, tensors: Tensor) -> list[tuple[Detections, list[WindowMasks]]]:
        """Detect in normalised images (N, 3, H, W), padded alike."""
        grid = self.grid(size_of(tensors))
        levels, stem = self.backbone(tensors)
        logits, deltas = self.class_box_head(levels, every_box=False)
        found = candidates(logits, self.limits)
        del logits  # as large as all that follows
        masks = MaskTensors(self.mask_head, levels, stem)
        windows = Windows.of(grid, found.image, found.window, found.label)
        if self.class_box_head.deltas is None or self.limits.nms == "mask_boxes":
            boxes = mask_boxes(masks, windows)
            has_mask = (boxes[:, 2:] > boxes[:, :2]).all(dim=1).nonzero()[:, 0]
            found, boxes = found.subset(has_mask), boxes[has_mask]
        else:
            boxes = decode_boxes(self._deltas(deltas, levels, windows), windows.window_boxes)
        detections = suppress(found, boxes, len(tensors), self.limits)
        return list(zip(detections, window_masks(masks, detections, grid), strict=True))

    def _deltas(self, every: Tensor | None, levels: list[Tensor], windows: Windows) -> Tensor:
        """Return the box deltas (P, 4) of ``windows``, from those of all windows if at hand."""
        if every is not None:
            return every[windows.image, windows.window].float()
        return deltas_at(self.class_box_head, levels, windows).float()

    def _mask_loss(
        self, levels: list[Tensor], stem: Tensor, windows: Windows, targets: list[Target]
    ) -> Tensor:
        """Return the mean mask loss of the positive windows of some images."""
        images = max(1, round(self.mask_share * len(targets)))
        windows = windows.subset((windows.image < images).nonzero()[:, 0])
        tensors = MaskTensors(self.mask_head, [level[:images] for level in levels], stem[:images])
        total = levels[0].new_zeros((), dtype=torch.float32)
        for level, size, rows in windows.groups():
            cells = self.mask_head.cells_of(level, size)
            goals = mask_targets(targets, windows, rows, cells, self.mask_targets)
            logits = tensors.masks(level, size, windows.index(rows))
            total = total + losses.mask_loss(logits, goals)
        return total / max(1, len(windows.window))
