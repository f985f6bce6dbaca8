"""The models by name: plain functions in plain dicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any, Literal

import torchvision
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from tensormask_core.assign import TensorMaskRule
from tensormask_zoo.class_counts import check_classes
from tensormask_zoo.deepmask.variants import (
    deepmask_head_a,
    deepmask_head_b,
    deepmask_head_c,
    deepmask_small,
    deepmask_vgg_a,
    deepmask_w112_p3_d21,
    deepmask_w112_p3_d21_f128,
    deepmask_w112_p4_d39,
    deepmask_w160_p4_d8_vgg,
    deepmask_w160_p4_d39,
    deepmask_w160_p4_d39_f128,
)
from tensormask_zoo.fastmask.builders import (
    fastmask_pvanet,
    fastmask_resnet39,
    fastmask_small,
    fastmask_vgg16,
)
from tensormask_zoo.fpn import Backbone, NormLayer
from tensormask_zoo.instancefcn.builders import instancefcn_small, instancefcn_vgg16
from tensormask_zoo.mask_rcnn import (
    mask_rcnn_resnet50_fpn,
    mask_rcnn_resnet101_fpn,
    mask_rcnn_small_fpn,
)
from tensormask_zoo.sharpmask.variants import sharpmask, sharpmask_small
from tensormask_zoo.tensormask.class_box_head import ClassBoxHead
from tensormask_zoo.tensormask.mask_design import MaskDesign, Window
from tensormask_zoo.tensormask.mask_head import MaskHead
from tensormask_zoo.tensormask.model import TensorMask
from tensormask_zoo.towers import HeadWidths
from tensormask_zoo.trunk import ResNetTrunk, SmallTrunk

PAPER_WINDOWS = ((11, 11), (15, 15))  # the published two-size model, in its order
GROUPS = 32  # of group normalisation, as its authors recommend
SMALL_WIDTHS = HeadWidths(
    class_channels=64, mask_channels=16, depth=2, norm_groups=8, share_towers=True
)
DETECTRON2: dict[str, Any] = {
    "vu_border": "pad",
    "upsample": "half_pixel",
    "mask_targets": "detectron2",
    "rule": {"ambiguous": "negative", "centrality_unit": "level"},
}
"""What published weights were trained with, where the released code differs from our defaults."""

Norm = Literal["frozen", "batch", "group"]


def tensormask(
    backbone: Backbone,
    *,
    num_classes: int,
    windows: Sequence[Window] = PAPER_WINDOWS,
    widths: HeadWidths | None = None,
    box_head: bool = True,
    compat: Literal["detectron2"] | None = None,
    **settings: Any,
) -> TensorMask:
    """Build a TensorMask with any of the paper's heads on any backbone.

    Args:
        backbone: a trunk with a feature pyramid.
        num_classes: object classes, background not counted.
        windows: (V, U) of each window size, in strides of its level.
        widths: channels and depth of the towers.
        box_head: regress boxes; without them boxes are those of the masks (appendix A.4).
        compat: "detectron2" sets every option that the released code decides otherwise.
        settings: ``head``, ``lam``, ``sigma_vu``, ``vu_border`` and ``upsample`` of
            :class:`MaskDesign`; ``rule``, a rule or the arguments of
            :class:`tensormask_core.assign.TensorMaskRule`; further arguments of
            :class:`TensorMask`.

    Raises:
        ValueError: no class, or a head that does not exist or lacks what it is asked for.

    Example:
        >>> backbone = Backbone(SmallTrunk(), channels=32, levels=3)
        >>> model = tensormask(backbone, num_classes=3, windows=[(15, 15)],
        ...                    head="upscale_aligned", lam=5)
        >>> model.mask_head.cells[0].out_channels
        9
    """
    check_classes(num_classes)
    settings = _compat(compat) | settings
    design = MaskDesign(**{k: settings.pop(k) for k in DESIGN if k in settings})
    widths = widths or HeadWidths()
    channels = backbone.channels
    class_box_head = ClassBoxHead(
        channels, sizes=len(windows), num_classes=num_classes, widths=widths, boxes=box_head
    )
    mask_head = MaskHead(
        channels,
        stem_channels=backbone.stem_channels,
        windows=windows,
        design=design,
        widths=widths,
    )
    if isinstance(settings.get("rule"), Mapping):
        settings["rule"] = TensorMaskRule(**settings["rule"])
    return TensorMask(backbone, class_box_head, mask_head, **settings)


def tensormask_small_fpn(
    *, num_classes: int, channels: int = 48, levels: int = 3, **settings: Any
) -> TensorMask:
    """TensorMask of under a million parameters, to train from scratch on a CPU.

    Windows of 36, 72 and 144 px at strides 4, 8 and 16 with mask cells of 2 px (4 px or more on
    a feature pyramid); images keep their size. ``channels`` and ``levels`` are the pyramid's,
    ``settings`` are arguments of :func:`tensormask`.
    """
    bipyramid = settings.get("head", "bipyramid") == "bipyramid"
    small: dict[str, Any] = {
        "windows": ((9, 9),),
        "sigma_vu": 2 if bipyramid else 4,
        "widths": SMALL_WIDTHS,
        "min_size": None,
        "mask_share": 0.5,
    }
    backbone = Backbone(SmallTrunk(), channels=channels, levels=levels, norm=nn.BatchNorm2d)
    return tensormask(backbone, num_classes=num_classes, **(small | settings))


def tensormask_resnet18_fpn(*, num_classes: int = 91, **settings: Any) -> TensorMask:
    """TensorMask with ResNet-18; arguments as for :func:`tensormask_resnet50_fpn`."""
    return _tensormask_resnet("resnet18", num_classes, **settings)


def tensormask_resnet34_fpn(*, num_classes: int = 91, **settings: Any) -> TensorMask:
    """TensorMask with ResNet-34; arguments as for :func:`tensormask_resnet50_fpn`."""
    return _tensormask_resnet("resnet34", num_classes, **settings)


def tensormask_resnet50_fpn(*, num_classes: int = 91, **settings: Any) -> TensorMask:
    """TensorMask with ResNet-50, as in the paper's Table 3.

    The arguments have the names of torchvision's ``maskrcnn_resnet50_fpn``, so that either can
    stand in a training script. Background is not counted here: torchvision's 91 for COCO, which
    counts it, leaves one class unused.

    Args:
        num_classes: object classes.
        settings: ``weights`` (None: nobody has published any in this format; see
            :mod:`tensormask_zoo.convert`), ``progress``, ``weights_backbone`` (a torchvision
            weights name or None), ``trainable_backbone_layers`` (of 5; by default the stem and
            the first stage are frozen when there are weights), ``norm`` ("frozen" keeps the
            statistics of the weights, "batch" and "group" train; default: "frozen" with weights,
            else "group", as a detector's batches are small), ``channels`` (256) and ``levels``
            (6) of the pyramid, and the arguments of :func:`tensormask`.

    Example:
        >>> model = tensormask_resnet50_fpn(num_classes=80, norm="frozen")
        >>> sum(p.numel() for p in model.parameters())
        36514370
    """
    return _tensormask_resnet("resnet50", num_classes, **settings)


def tensormask_resnet101_fpn(*, num_classes: int = 91, **settings: Any) -> TensorMask:
    """TensorMask with ResNet-101; arguments as for :func:`tensormask_resnet50_fpn`."""
    return _tensormask_resnet("resnet101", num_classes, **settings)


def _tensormask_resnet(
    name: str,
    num_classes: int,
    *,
    weights: None = None,
    progress: bool = True,
    weights_backbone: Any = None,
    trainable_backbone_layers: int | None = None,
    norm: Norm | None = None,
    **settings: Any,
) -> TensorMask:
    if weights is not None:
        raise ValueError(f"weights expects None, got {weights!r}; see tensormask_zoo.convert")
    norm = norm or ("frozen" if weights_backbone else "group")
    layer = NORMS[norm]
    resnet = torchvision.models.get_model(
        name, weights=weights_backbone, progress=progress, norm_layer=layer
    )
    if trainable_backbone_layers is None:
        trainable_backbone_layers = 3 if weights_backbone else 5
    trunk = ResNetTrunk(resnet, trainable_stages=trainable_backbone_layers)
    group = norm == "group"
    backbone = Backbone(
        trunk,
        channels=settings.pop("channels", 256),
        levels=settings.pop("levels", 6),
        norm=layer if group else None,
    )
    from_scratch = {"widths": HeadWidths(norm_groups=GROUPS)} if group else {}
    return tensormask(backbone, num_classes=num_classes, **(from_scratch | settings))


def _compat(name: str | None) -> dict[str, Any]:
    if name not in (None, "detectron2"):
        raise ValueError(f"compat expects None or 'detectron2', got {name!r}")
    return dict(DETECTRON2) if name else {}


NORMS: dict[str, NormLayer] = {
    "frozen": FrozenBatchNorm2d,
    "batch": nn.BatchNorm2d,
    "group": partial(nn.GroupNorm, GROUPS),
}
DESIGN = tuple(field.name for field in fields(MaskDesign))

Builder = Callable[..., Any]

DETECTORS: dict[str, Builder] = {
    "tensormask_small_fpn": tensormask_small_fpn,
    "tensormask_resnet18_fpn": tensormask_resnet18_fpn,
    "tensormask_resnet34_fpn": tensormask_resnet34_fpn,
    "tensormask_resnet50_fpn": tensormask_resnet50_fpn,
    "tensormask_resnet101_fpn": tensormask_resnet101_fpn,
    "mask_rcnn_small_fpn": mask_rcnn_small_fpn,
    "mask_rcnn_resnet50_fpn": mask_rcnn_resnet50_fpn,
    "mask_rcnn_resnet101_fpn": mask_rcnn_resnet101_fpn,
}
"""Models that tell classes apart."""

CLASS_AGNOSTIC: dict[str, Builder] = {
    "deepmask_small": deepmask_small,
    "deepmask_vgg_a": deepmask_vgg_a,
    "deepmask_w160_p4_d8_vgg": deepmask_w160_p4_d8_vgg,
    "deepmask_w160_p4_d39": deepmask_w160_p4_d39,
    "deepmask_w160_p4_d39_f128": deepmask_w160_p4_d39_f128,
    "deepmask_w112_p4_d39": deepmask_w112_p4_d39,
    "deepmask_w112_p3_d21": deepmask_w112_p3_d21,
    "deepmask_w112_p3_d21_f128": deepmask_w112_p3_d21_f128,
    "deepmask_head_a": deepmask_head_a,
    "deepmask_head_b": deepmask_head_b,
    "deepmask_head_c": deepmask_head_c,
    "sharpmask_small": sharpmask_small,
    "sharpmask": sharpmask,
    "instancefcn_small": instancefcn_small,
    "instancefcn_vgg16": instancefcn_vgg16,
    "fastmask_small": fastmask_small,
    "fastmask_resnet39": fastmask_resnet39,
    "fastmask_pvanet": fastmask_pvanet,
    "fastmask_vgg16": fastmask_vgg16,
}
"""Proposal systems: they take ``num_classes=1`` whatever the data, and every object has label 1."""

MODELS: dict[str, Builder] = DETECTORS | CLASS_AGNOSTIC
