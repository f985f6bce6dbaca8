"""The models by name: plain functions in a plain dict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torchvision
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from tensormask_zoo.fpn import Backbone
from tensormask_zoo.tensormask.head import BipyramidMaskHead, ClassBoxHead, HeadWidths, Window
from tensormask_zoo.tensormask.model import TensorMask
from tensormask_zoo.trunk import ResNetTrunk, SmallTrunk

PAPER_WINDOWS = ((11, 11), (15, 15))  # the published two-size model, in its order
SMALL_WIDTHS = HeadWidths(
    class_channels=64, mask_channels=16, depth=2, norm_groups=8, share_towers=True
)


def tensormask(
    trunk: nn.Module,
    *,
    num_classes: int,
    windows: Sequence[Window] = PAPER_WINDOWS,
    channels: int = 256,
    levels: int = 6,
    sigma_vu: int = 4,
    widths: HeadWidths | None = None,
    **settings: Any,
) -> TensorMask:
    """Build a tensor-bipyramid TensorMask on any trunk.

    Args:
        trunk: see :mod:`tensormask_zoo.trunk`.
        num_classes: object classes, background not counted.
        windows: (V, U) of each window size on level 0, in steps of the finest stride (4 px).
        channels: channels of the feature pyramid.
        levels: pyramid levels, at strides 4, 8, 16, ...
        sigma_vu: length of a mask cell: 4 px as published, or 2 px.
        widths: channels and depth of the towers; where these are normalised, the pyramid is too.
        settings: further arguments of :class:`TensorMask`.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes expects at least 1 object class, got {num_classes}")
    widths = widths or HeadWidths()
    from_scratch = widths.norm_groups is not None
    backbone = Backbone(trunk, channels=channels, levels=levels, norm=from_scratch)
    class_box_head = ClassBoxHead(
        channels, sizes=len(windows), num_classes=num_classes, widths=widths
    )
    mask_head = BipyramidMaskHead(
        channels,
        stem_channels=backbone.stem_channels,
        windows=windows,
        stride=backbone.stride,
        sigma_vu=sigma_vu,
        widths=widths,
    )
    return TensorMask(backbone, class_box_head, mask_head, **settings)


def tensormask_small_fpn(*, num_classes: int, **settings: Any) -> TensorMask:
    """TensorMask of under a million parameters, to train from scratch on a CPU.

    Windows of 36, 72 and 144 px at strides 4, 8 and 16 with mask cells of 2 px; images keep
    their size. ``settings`` are arguments of :func:`tensormask`.
    """
    small: dict[str, Any] = {
        "windows": ((9, 9),),
        "channels": 48,
        "levels": 3,
        "sigma_vu": 2,
        "widths": SMALL_WIDTHS,
        "min_size": None,
        "mask_share": 0.5,
    }
    return tensormask(SmallTrunk(), num_classes=num_classes, **(small | settings))


def tensormask_resnet18_fpn(*, num_classes: int, **settings: Any) -> TensorMask:
    """TensorMask with ResNet-18; arguments as for :func:`tensormask_resnet50_fpn`."""
    return _tensormask_resnet("resnet18", num_classes, settings)


def tensormask_resnet50_fpn(*, num_classes: int, **settings: Any) -> TensorMask:
    """TensorMask with ResNet-50, as in the paper's Table 3.

    Args:
        num_classes: object classes, background not counted.
        settings: ``weights_backbone`` (a torchvision weights name or None), ``trainable_stages``
            (of 5; the stem and the first stage are frozen by default when there are weights) and
            the arguments of :func:`tensormask`.

    Example:
        >>> model = tensormask_resnet50_fpn(num_classes=80)
        >>> sum(p.numel() for p in model.parameters())  # 53,120 of them in batch norms
        36567490
    """
    return _tensormask_resnet("resnet50", num_classes, settings)


def _tensormask_resnet(name: str, num_classes: int, settings: dict[str, Any]) -> TensorMask:
    weights = settings.pop("weights_backbone", None)
    trainable = settings.pop("trainable_stages", 3 if weights else 5)
    # Pretrained statistics are kept, as published; from scratch the statistics must be learnt.
    norm = FrozenBatchNorm2d if weights else nn.BatchNorm2d
    resnet = torchvision.models.get_model(name, weights=weights, norm_layer=norm)
    trunk = ResNetTrunk(resnet, trainable_stages=trainable)
    return tensormask(trunk, num_classes=num_classes, **settings)


MODELS: dict[str, Callable[..., TensorMask]] = {
    "tensormask_small_fpn": tensormask_small_fpn,
    "tensormask_resnet18_fpn": tensormask_resnet18_fpn,
    "tensormask_resnet50_fpn": tensormask_resnet50_fpn,
}
