"""Mask R-CNN (He et al., 2017): torchvision's, as the baseline in the same script and table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN as Network
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from tensormask_zoo.class_counts import check_classes
from tensormask_zoo.fpn import Backbone
from tensormask_zoo.image_batching import ImageBatching, ImageSize, Target, size_of
from tensormask_zoo.tensormask.postprocess import Detections
from tensormask_zoo.tensormask.results import WindowMasks, as_torchvision, rescale
from tensormask_zoo.trunk import SmallTrunk

SIZE_DIVISIBLE = 32  # torchvision's padding of a batch
ROI_CELLS, MASK_ROI_CELLS = 7, 14
ALL_STAGES = 5  # what torchvision trains of a trunk without weights
LIMITS = {  # names of `PostProcess`, and what torchvision calls them
    "score_threshold": "box_score_thresh",
    "nms_iou": "box_nms_thresh",
    "detections": "box_detections_per_img",
}


class MaskRCNN(nn.Module):
    """torchvision's Mask R-CNN with the conventions of this zoo.

    Classes are counted without background, images may keep their size, crowds are left out of
    training, and detections come with 28x28 masks in boxes: to COCO's encoder these are windows
    like any others, so no full image per mask is made. They are pasted at pixel centres, as
    TensorMask's are; torchvision's own paste rounds boxes to whole pixels.

    Args:
        network: torchvision's model.
        batching: ``min_size``, ``max_size``, ``image_mean`` and ``image_std`` of
            :class:`ImageBatching`.
    """

    def __init__(self, network: Network, **batching: Any) -> None:
        super().__init__()
        self.network = network
        self.network.transform = ImageBatching(size_divisible=SIZE_DIVISIBLE, **batching)

    def forward(
        self, images: list[Tensor], targets: list[Target] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Return losses in training mode, detections in evaluation mode.

        Args:
            images: RGB (3, H, W) in [0, 1], of any sizes.
            targets: in training, as for :class:`tensormask_zoo.tensormask.TensorMask`.

        Returns:
            The two losses of the region proposals beside ``loss_classifier``, ``loss_box_reg``
            and ``loss_mask``; or per image ``boxes``, ``labels``, ``scores`` and ``masks``
            (D, 1, H, W) in [0, 1], best first.

        Raises:
            ValueError: training without targets.
        """
        if self.training:
            if targets is None:
                raise ValueError("training expects targets, got None; call .eval() to detect")
            losses: dict[str, Tensor] = self.network(images, [_without_crowds(t) for t in targets])
            return losses
        return [
            as_torchvision(*result, size_of(image))
            for result, image in zip(self.detect(images), images, strict=True)
        ]

    def detect(self, images: list[Tensor]) -> list[tuple[Detections, list[WindowMasks]]]:
        """Return detections with their masks in boxes, in the coordinates of ``images``."""
        batch, _ = self.network.transform(images)
        maps = self.network.backbone(batch.tensors)
        proposals, _ = self.network.rpn(batch, maps)
        found, _ = self.network.roi_heads(maps, proposals, batch.image_sizes)
        return [
            _result(one, resized, size_of(image))
            for one, resized, image in zip(found, batch.image_sizes, images, strict=True)
        ]


def mask_rcnn_resnet50_fpn(*, num_classes: int, **settings: Any) -> MaskRCNN:
    """Mask R-CNN with ResNet-50, layer by layer torchvision's ``maskrcnn_resnet50_fpn``.

    Args:
        num_classes: object classes, background not counted.
        settings: ``weights_backbone`` (a torchvision weights name or None),
            ``trainable_backbone_layers`` (of 5; 3 by default when there are weights), ``limits``
            (``score_threshold``, ``nms_iou`` and ``detections``, as TensorMask's) and the
            arguments of :class:`ImageBatching`.

    Example:
        >>> model = mask_rcnn_resnet50_fpn(num_classes=80, min_size=None)
        >>> sum(p.numel() for p in model.parameters())
        44400693
    """
    return _resnet("resnet50", num_classes, **settings)


def mask_rcnn_resnet101_fpn(*, num_classes: int, **settings: Any) -> MaskRCNN:
    """Mask R-CNN with ResNet-101; arguments as for :func:`mask_rcnn_resnet50_fpn`."""
    return _resnet("resnet101", num_classes, **settings)


def mask_rcnn_small_fpn(
    *,
    num_classes: int,
    channels: int = 48,
    levels: int = 4,
    limits: Mapping[str, float] | None = None,
    min_size: int | None = None,
    **batching: Any,
) -> MaskRCNN:
    """Mask R-CNN on the trunk and pyramid of ``tensormask_small_fpn``, to train on a CPU.

    Args:
        num_classes: object classes, background not counted.
        channels: channels of the pyramid and of the heads' convolutions.
        levels: pyramid levels, at strides 4, 8, ...; their anchors are of 16, 32, ... px.
        limits: as for :func:`mask_rcnn_resnet50_fpn`.
        min_size: short side that images are resized to; None leaves them as they are.
        batching: further arguments of :class:`ImageBatching`.
    """
    check_classes(num_classes)
    names = [str(k) for k in range(levels)]
    anchors = AnchorGenerator(
        sizes=tuple((16 * 2**k,) for k in range(levels)), aspect_ratios=((0.5, 1.0, 2.0),) * levels
    )
    network = Network(
        SmallPyramid(channels, levels),
        rpn_anchor_generator=anchors,
        rpn_pre_nms_top_n_train=500,  # per level: the images are small, and NMS is slow on a CPU
        box_roi_pool=MultiScaleRoIAlign(names, ROI_CELLS, sampling_ratio=2),
        box_head=TwoMLPHead(channels * ROI_CELLS**2, 256),
        box_predictor=FastRCNNPredictor(256, num_classes + 1),
        box_batch_size_per_image=64,
        mask_roi_pool=MultiScaleRoIAlign(names, MASK_ROI_CELLS, sampling_ratio=2),
        mask_head=MaskRCNNHeads(channels, (channels,) * 2, dilation=1, norm_layer=_group_norm),
        mask_predictor=MaskRCNNPredictor(channels, channels, num_classes + 1),
        **_as_torchvision_names(limits),
    )
    return MaskRCNN(network, min_size=min_size, **batching)


class SmallPyramid(nn.Module):
    """The small TensorMask's trunk and pyramid, in the form that torchvision's detectors take."""

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.backbone = Backbone(
            SmallTrunk(), channels=channels, levels=levels, norm=nn.BatchNorm2d
        )
        self.out_channels = channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the levels of (N, 3, H, W) normalised images by name, finest first."""
        levels, _ = self.backbone(images)
        return {str(k): level for k, level in enumerate(levels)}


def _resnet(
    name: str,
    num_classes: int,
    *,
    weights_backbone: str | None = None,
    trainable_backbone_layers: int | None = None,
    limits: Mapping[str, float] | None = None,
    **batching: Any,
) -> MaskRCNN:
    """Build torchvision's Mask R-CNN on one of its ResNets."""
    check_classes(num_classes)
    trained = trainable_backbone_layers
    if trained is None:
        trained = 3 if weights_backbone else ALL_STAGES
    backbone = resnet_fpn_backbone(
        backbone_name=name,
        weights=weights_backbone,
        norm_layer=FrozenBatchNorm2d if weights_backbone else nn.BatchNorm2d,
        trainable_layers=trained,
    )
    return MaskRCNN(Network(backbone, num_classes + 1, **_as_torchvision_names(limits)), **batching)


def _as_torchvision_names(limits: Mapping[str, float] | None) -> dict[str, float]:
    unknown = set(limits or {}) - set(LIMITS)
    if unknown:
        raise TypeError(
            f"limits expects {', '.join(LIMITS)}, got an unexpected keyword argument "
            f"'{min(unknown)}'"
        )
    return {LIMITS[name]: value for name, value in (limits or {}).items()}


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(8, channels)


def _without_crowds(target: Target) -> Target:
    """Leave crowds out: a box around many objects is no object to learn."""
    if "iscrowd" not in target:
        return target
    kept = target["iscrowd"] == 0
    return {**target, **{name: target[name][kept] for name in ("boxes", "labels", "masks")}}


def _result(
    found: dict[str, Tensor], resized: ImageSize, original: ImageSize
) -> tuple[Detections, list[WindowMasks]]:
    """Take torchvision's detections of a resized image as windows in the original one."""
    rows = torch.arange(len(found["boxes"]), device=found["boxes"].device)
    boxes = found["boxes"].float()
    detections = Detections(boxes, found["labels"], found["scores"].float(), window=rows)
    masks = WindowMasks(rows, found["masks"][:, 0].float(), boxes)
    return rescale(detections, [masks], resized, original)
