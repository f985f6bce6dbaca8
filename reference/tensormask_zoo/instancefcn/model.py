"""InstanceFCN: instance-sensitive fully convolutional networks (Dai et al., 2016)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from tensormask_core import Aligned, WindowGrid
from tensormask_core.grid import GridLevel, WindowIndex
from tensormask_zoo.image_batching import ImageBatching, Target
from tensormask_zoo.instancefcn.dilated_vgg import DilatedVGG
from tensormask_zoo.instancefcn.image_scales import ImageScales, ImageSize, resize, resized_size
from tensormask_zoo.instancefcn.instance_head import InstanceHead
from tensormask_zoo.instancefcn.losses import InstanceLoss
from tensormask_zoo.instancefcn.proposals import PROPOSALS, Candidates, best_windows, propose
from tensormask_zoo.instancefcn.targets import WindowTargets
from tensormask_zoo.instancefcn.window_sampling import WindowSampling
from tensormask_zoo.tensormask.postprocess import Detections, PostProcess
from tensormask_zoo.tensormask.results import WindowMasks, as_torchvision

Assembly = Literal["sparse", "dense"]


class InstanceFCN(nn.Module):
    """A proposal system that speaks torchvision's detection API; every proposal has label 1.

    One window size serves all objects: the image comes in several scales. All lengths are px of
    the original image: at scale f, a window of 168 px covers 168 / f of them. Windows may reach
    beyond the image, and small images are enlarged: none is too small.

    Args:
        trunk: the feature map.
        head: score maps and objectness.
        scales: of the image. In training each batch draws one, so that its images stay alike in
            size; with one image per process, as in the paper, each image draws its own.
        sampling: the windows that are trained.
        loss: how they are trained.
        limits: thresholds and counts of the proposals, what :data:`PROPOSALS` says unless given.
        mask_threshold: from which probability on a pixel belongs to a mask; 0.5 is natural to a
            logistic loss, the paper gives none. Masks are returned such that 0.5 stands for it.
        assembly: "sparse" assembles the masks of candidates only, "dense" those of all windows,
            as the paper does; the results are equal.
        batching: ``image_mean`` and ``image_std`` of :class:`ImageBatching`.

    Raises:
        ValueError: trunk and head differ in stride, ``mask_threshold`` is not between 0 and 1, or
            ``assembly`` is unknown.
    """

    def __init__(
        self,
        trunk: DilatedVGG,
        head: InstanceHead,
        *,
        scales: ImageScales | None = None,
        sampling: WindowSampling | None = None,
        loss: InstanceLoss | None = None,
        limits: PostProcess | Mapping[str, Any] | None = None,
        mask_threshold: float = 0.5,
        assembly: Assembly = "sparse",
        **batching: Any,
    ) -> None:
        super().__init__()
        if trunk.stride != head.stride:
            raise ValueError(f"head expects the trunk's stride {trunk.stride}, got {head.stride}")
        if not 0 < mask_threshold < 1:
            raise ValueError(
                f"mask_threshold expects a probability in (0, 1), got {mask_threshold}"
            )
        if assembly not in ("sparse", "dense"):
            raise ValueError(f"assembly expects 'sparse' or 'dense', got {assembly!r}")
        self.trunk = trunk
        self.head = head
        self.scales = scales or ImageScales()
        self.sampling = sampling or WindowSampling()
        self.loss = loss or InstanceLoss()
        self.limits = (
            limits if isinstance(limits, PostProcess) else replace(PROPOSALS, **(limits or {}))
        )
        self.threshold_logit = math.log(mask_threshold / (1 - mask_threshold))
        self.assembly = assembly
        self.transform = ImageBatching(size_divisible=trunk.stride, min_size=None, **batching)

    def grid(self, image_size: ImageSize) -> WindowGrid:
        """Return where the windows of an image of (H, W) px are, one level per scale."""
        return WindowGrid(tuple(self._level(image_size, f) for f in self.scales.of(image_size)))

    def forward(
        self, images: list[Tensor], targets: list[Target] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Return losses in training mode, proposals in evaluation mode.

        Args:
            images: RGB (3, H, W) in [0, 1], of any sizes.
            targets: in training, per image ``boxes`` (N, 4) XYXY px, ``masks`` (N, H, W) and
                optionally ``iscrowd`` (N,). Labels are not looked at: all classes are objects.

        Returns:
            ``loss_objectness`` and ``loss_mask``; or per image ``boxes``, ``labels`` (1),
            ``scores`` and ``masks`` (D, 1, H, W) in [0, 1], best first. For many proposals
            :meth:`detect` takes far less memory.

        Raises:
            ValueError: training without a target for each image, or an image that is not RGB.
        """
        if not self.training:
            return [
                as_torchvision(*result, _size(image))
                for result, image in zip(self.detect(images), images, strict=True)
            ]
        if targets is None:
            raise ValueError("training expects targets, got None; call .eval() to detect")
        if len(targets) != len(images):
            raise ValueError(
                "training expects one target per image, "
                f"got {len(images)} images and {len(targets)} targets"
            )
        return self.losses(images, targets)

    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """Return the two losses of a batch at one random scale."""
        scale = self.scales.draw()
        factors = [self.scales.of(_size(image))[scale] for image in images]
        score_maps, objectness = self._score(images, factors)
        grids = [
            WindowGrid((self._level(_size(image), factor),))
            for image, factor in zip(images, factors, strict=True)
        ]
        drawn = [self.sampling.draw(*pair) for pair in zip(grids, targets, strict=True)]
        soft = self.loss.soft_targets
        goals = WindowTargets.of(grids, targets, drawn, self.head.m, soft=soft)
        rows = self.loss.rows(goals)
        logits = self.head.masks(score_maps, goals.index[rows])
        return {
            "loss_objectness": self.loss.objectness(objectness[tuple(goals.index.T)], goals),
            "loss_mask": self.loss.masks(logits, rows, goals),
        }

    def detect(self, images: list[Tensor]) -> list[tuple[Detections, list[WindowMasks]]]:
        """Return proposals with their window masks, in the coordinates of ``images``.

        Images are taken one by one, as no two need have the same size at a scale.
        """
        return [self._propose(image) for image in images]

    def _propose(self, image: Tensor) -> tuple[Detections, list[WindowMasks]]:
        """Score the windows of all scales, then assemble the masks of the best."""
        size = _size(image)
        scored = [self._score([image], [factor]) for factor in self.scales.of(size)]
        grid = self.grid(size)
        objectness = torch.cat([one.flatten() for _, one in scored])
        window, scores = best_windows(objectness, self.limits)
        flat = window.cpu().numpy()
        boxes = torch.from_numpy(grid.boxes(flat)).to(scores)
        logits = self._assemble([maps for maps, _ in scored], grid.unravel(flat)).float()
        candidates = Candidates(window, scores, boxes)
        found, kept = propose(logits > 0, candidates, size, self.limits)
        rows = torch.arange(len(kept), device=kept.device)
        return found, [WindowMasks(rows, logits[kept].sigmoid(), boxes[kept])]

    def _score(
        self, images: Sequence[Tensor], factors: Sequence[float]
    ) -> tuple[Aligned[Tensor], Tensor]:
        """Return the score maps and the objectness of images, each at a scale."""
        resized = [resize(*pair) for pair in zip(images, factors, strict=True)]
        batch, _ = self.transform(resized)
        scored: tuple[Aligned[Tensor], Tensor] = self.head(self.trunk(batch.tensors))
        return scored

    def _assemble(self, scales: Sequence[Aligned[Tensor]], at: WindowIndex) -> Tensor:
        """Return mask logits (K, m, m) of windows, 0 at the mask threshold."""
        device = scales[0].data.device
        masks = scales[0].data.new_zeros((len(at.level), self.head.m, self.head.m))
        for level, score_maps in enumerate(scales):
            here = np.flatnonzero(at.level == level)
            index = np.stack([np.zeros_like(here), at.y[here], at.x[here]], axis=1)
            above = replace(score_maps, data=score_maps.data - self.threshold_logit)
            rows = torch.from_numpy(here).to(device)
            masks[rows] = self._masks(above, torch.from_numpy(index).to(device))
        return masks

    def _masks(self, score_maps: Aligned[Tensor], index: Tensor) -> Tensor:
        if self.assembly == "sparse":
            return self.head.masks(score_maps, index)
        n, y, x = index.T
        return self.head.dense(score_maps).data[n, :, :, y, x]

    def _level(self, image_size: ImageSize, factor: float) -> GridLevel:
        """Return the windows of an image at a scale, in px of the image."""
        stride = self.head.stride
        height, width = (-(-side // stride) for side in resized_size(image_size, factor))
        side = stride * self.head.m / factor
        half = stride / 2 / factor  # a node is the centre of the pixels that were pooled into it
        return GridLevel(height, width, stride / factor, ((side, side),), (half, half))


def _size(image: Tensor) -> ImageSize:
    return image.shape[-2], image.shape[-1]
