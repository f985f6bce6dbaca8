"""Every DeepMask by name: W is the window, P poolings, D depth, F features (SharpMask, Table 1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tensormask_zoo.class_counts import check_one_class
from tensormask_zoo.deepmask.head import Head
from tensormask_zoo.deepmask.model import DeepMask
from tensormask_zoo.deepmask.padding import Border
from tensormask_zoo.deepmask.placement import PatchRule
from tensormask_zoo.deepmask.pyramid import half_octaves
from tensormask_zoo.deepmask.trunk import Trunk, resnet50_trunk, small_trunk, vgg_a_trunk

HEAD = ("features", "score_head", "vector", "mask_cells", "dropout")
PAPER_OBJECT = 128 / 224  # longer side of a canonical object in windows
CONTEXT_PX = 16


def deepmask(
    trunk: Trunk,
    *,
    window_px: int,
    num_classes: int = 1,
    rule: PatchRule | Mapping[str, Any] | None = None,
    **settings: Any,
) -> DeepMask:
    """Build a DeepMask of any window on any trunk.

    Args:
        trunk: see :mod:`tensormask_zoo.deepmask.trunk`.
        window_px: side of a window, W.
        num_classes: 1; there are no classes.
        rule: where training patches lie; by default the released code's rules, scaled to W.
        settings: ``features``, ``score_head``, ``vector``, ``mask_cells`` and ``dropout`` of
            :class:`Head`; ``training`` and ``inference`` of :class:`DeepMask`.

    Raises:
        ValueError: another number of classes, or a window that is no multiple of the stride.

    Example:
        >>> model = deepmask(small_trunk(), window_px=64, features=16, vector=32, mask_cells=16)
        >>> model.rule.object_px, model.head.kernel
        (37, 8)
    """
    check_one_class(num_classes)
    if window_px < 1 or window_px % trunk.stride:
        raise ValueError(
            f"window_px expects a multiple of the stride {trunk.stride}, got {window_px}"
        )
    head = {name: settings.pop(name) for name in HEAD if name in settings}
    if not isinstance(rule, PatchRule):
        rule = PatchRule(**(default_rule(window_px) | dict(rule or {})))
    made = Head(trunk.widths[0], kernel=window_px // trunk.stride, **head)
    return DeepMask(trunk, made, rule=rule, **settings)


def deepmask_vgg_a(
    *,
    num_classes: int = 1,
    weights_backbone: Any = None,
    progress: bool = True,
    **settings: Any,
) -> DeepMask:
    """The original DeepMask: VGG-A, 224 px, separate heads, joint batches, 2^-2 to 2^1.

    Args:
        num_classes: 1; there are no classes.
        weights_backbone: torchvision weights of VGG-11 or their name, None for none.
        progress: show the download.
        settings: ``border`` of the convolutions, and arguments of :func:`deepmask`.

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     model = deepmask_vgg_a()
        >>> sum(p.numel() for p in model.parameters())
        75844545
    """
    trunk = vgg_a_trunk(
        border=settings.pop("border", "zeros"), weights_backbone=weights_backbone, progress=progress
    )
    original: dict[str, Any] = {
        "features": 512,
        "score_head": "original",
        "rule": PatchRule.paper(),
        "training": {"batches": "joint", "target_px": 224},
        "inference": {"scales": half_octaves(-2, 1)},
    }
    return deepmask(trunk, window_px=224, num_classes=num_classes, **(original | settings))


def deepmask_w160_p4_d8_vgg(
    *,
    num_classes: int = 1,
    weights_backbone: Any = None,
    progress: bool = True,
    **settings: Any,
) -> DeepMask:
    """VGG-A with windows of 160 px; arguments as for :func:`deepmask_vgg_a`."""
    trunk = vgg_a_trunk(
        border=settings.pop("border", "symmetric"),
        weights_backbone=weights_backbone,
        progress=progress,
    )
    return deepmask(trunk, window_px=160, num_classes=num_classes, **({"features": 512} | settings))


def deepmask_w160_p4_d39(**settings: Any) -> DeepMask:
    """ResNet-50 up to res4; arguments as for :func:`deepmask_w160_p4_d39_f128`."""
    return _resnet(160, stages=3, **({"features": 512} | settings))


def deepmask_w160_p4_d39_f128(**settings: Any) -> DeepMask:
    """DeepMask-ours, the released model, which SharpMask refines.

    Args:
        settings: ``num_classes`` (1), ``weights_backbone`` (torchvision weights of ResNet-50 or
            their name), ``progress``, ``norm`` and ``border`` of :func:`resnet50_trunk`, and
            arguments of :func:`deepmask`.

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     model = deepmask_w160_p4_d39_f128(norm="frozen")
        >>> sum(p.numel() for p in model.parameters())
        17333121
    """
    return _resnet(160, stages=3, **settings)


def deepmask_w112_p4_d39(**settings: Any) -> DeepMask:
    """Windows of 112 px; arguments as for :func:`deepmask_w160_p4_d39_f128`."""
    return _resnet(112, stages=3, **({"features": 512} | settings))


def deepmask_w112_p3_d21(**settings: Any) -> DeepMask:
    """ResNet-50 up to res3, windows of 112 px; arguments as for the other variants."""
    return _resnet(112, stages=2, **({"features": 512} | settings))


def deepmask_w112_p3_d21_f128(**settings: Any) -> DeepMask:
    """ResNet-50 up to res3, windows of 112 px; arguments as for the other variants."""
    return _resnet(112, stages=2, **settings)


def deepmask_head_a(**settings: Any) -> DeepMask:
    """DeepMask-ours with a score path that shares the trunk only (SharpMask, Figure 3)."""
    return deepmask_w160_p4_d39_f128(**({"score_head": "A"} | settings))


def deepmask_head_b(**settings: Any) -> DeepMask:
    """DeepMask-ours with a score path that shares the reduced features."""
    return deepmask_w160_p4_d39_f128(**({"score_head": "B"} | settings))


def deepmask_head_c(**settings: Any) -> DeepMask:
    """DeepMask-ours itself: the score is made from the mask's vector."""
    return deepmask_w160_p4_d39_f128(**({"score_head": "C"} | settings))


def deepmask_small(
    *, num_classes: int = 1, border: Border = "symmetric", **settings: Any
) -> DeepMask:
    """DeepMask of under a million parameters, to train from scratch on a CPU.

    Windows of 48 px at stride 8, so that objects of 10 to 79 px are canonical at some scale;
    masks of 32 x 32 cells of 1.5 px. A pixel is mask from a probability of 0.5 on: of objects
    with sharp contours, the published 0.2 takes a border that is not theirs.

    Args:
        num_classes: 1; there are no classes.
        border: what lies beyond the border in the convolutions.
        settings: arguments of :func:`deepmask`. Of ``rule``, ``training`` and ``inference``, what
            is not given stays as it is here.

    Example:
        >>> model = deepmask_small(inference={"proposals": 10})
        >>> model.window_px, model.inference.mask_threshold
        (48, 0.5)
    """
    trunk = small_trunk(border=border)
    merged = {name: _merged(SMALL.get(name), value) for name, value in settings.items()}
    return deepmask(trunk, window_px=48, num_classes=num_classes, **(SMALL | merged))


def default_rule(window_px: int) -> dict[str, Any]:
    """Return the released code's rule for windows of another size.

    Its canonical object is the paper's 128 px of 224, rounded up.
    """
    return {
        "patch_px": window_px,
        "context_px": CONTEXT_PX,
        "object_px": -(-window_px * 128 // 224),
        "shift_px": 16 * window_px / 160,
        "negative_shift_px": 48 * window_px / 160,
    }


def _merged(default: Any, given: Any) -> Any:
    """Return the arguments that were given beside those by default, or else what was given."""
    both = isinstance(default, Mapping) and isinstance(given, Mapping)
    return {**default, **given} if both else given


def _resnet(
    window_px: int,
    *,
    stages: int,
    norm: Literal["frozen", "batch"] | None = None,
    weights_backbone: Any = None,
    progress: bool = True,
    **settings: Any,
) -> DeepMask:
    trunk = resnet50_trunk(
        stages=stages,
        border=settings.pop("border", "symmetric"),
        norm=norm,
        weights_backbone=weights_backbone,
        progress=progress,
    )
    return deepmask(trunk, window_px=window_px, **settings)


SMALL: dict[str, Any] = {
    "features": 64,
    "vector": 192,
    "mask_cells": 32,
    "dropout": 0.0,
    "rule": {"least_area_px2": 16, "least_side_px": 3},
    "training": {"batches": "joint", "patches_per_image": 8, "target_px": 48},
    "inference": {"scales": half_octaves(-1.5, 1.5), "mask_threshold": 0.5},
}
