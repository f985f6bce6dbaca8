"""FastMask by name: plain functions that put bodies, necks and heads together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any, Literal

from torch import nn

from tensormask_core.assign import FastMaskRule
from tensormask_zoo.class_counts import check_one_class
from tensormask_zoo.fastmask.bodies import (
    Branching,
    FrozenBatchNorm2d,
    NormLayer,
    StreamBody,
    resnet39_body,
    small_body,
    vgg16_body,
)
from tensormask_zoo.fastmask.heads import CAFFE_GAIN, HeadWidths, WindowHead
from tensormask_zoo.fastmask.initialisation import initialise
from tensormask_zoo.fastmask.learning import Learning
from tensormask_zoo.fastmask.model import FastMask
from tensormask_zoo.fastmask.necks import make_neck
from tensormask_zoo.fastmask.pvanet import group_norm, pvanet_body
from tensormask_zoo.fastmask.targets import Sampling

Norm = Literal["frozen", "batch", "group"]
NORMS: dict[str, NormLayer] = {
    "frozen": FrozenBatchNorm2d,
    "batch": nn.BatchNorm2d,
    "group": partial(nn.GroupNorm, 32),  # groups, as its authors recommend
}
HEAD = ("channels", "window", "mask", "upsample", "widths", "attention", "mask_gain")
LEARNING = tuple(field.name for field in fields(Learning))

PUBLISHED: dict[str, Any] = {
    "init": "published",
    "eval_zooms": (3, 3),
    "longest_side": 1300,
    "train_sides": tuple(range(800, 870)),
}
"""Image sizes in px, scales and first weights that the published numbers go with."""


def fastmask(
    body: StreamBody,
    *,
    num_classes: int = 1,
    neck: str = "residual",
    hidden: int = 256,
    init: Literal["published", "torch"] = "torch",
    compat: Literal["paper"] | None = None,
    **settings: Any,
) -> FastMask:
    """Build a FastMask with any of the paper's necks and heads on any body.

    Args:
        body: one map per stream.
        num_classes: 1: proposals have no class.
        neck: "residual", "average", "max" or "feed_forward".
        hidden: channels between the neck's convolutions.
        init: "published" starts with narrow Gaussians and :data:`CAFFE_GAIN` behind the first mask
            layer, made for plain SGD; adaptive optimisers want "torch".
        compat: "paper" sets what the paper decides otherwise than the released code: the rule of
            positives, random negatives 1:1, and losses divided by the number of all windows.
        settings: the arguments of :class:`WindowHead`, such as ``attention``; those of
            :class:`Learning`, where ``rule`` and ``sampling`` may be the arguments of
            :class:`tensormask_core.assign.FastMaskRule` and :class:`Sampling`; further arguments
            of :class:`FastMask`.

    Raises:
        ValueError: other than one class, or a neck, ``init`` or ``compat`` that does not exist.

    Example:
        >>> model = fastmask(small_body(), neck="average", attention=False, mask=20, upsample=2)
        >>> model.strides
        (2, 3, 4, 6, 8, 12, 16)
    """
    check_one_class(num_classes)
    _check("init", init, ("torch", "published"))
    _check("compat", compat, (None, "paper"))
    published = init == "published"
    head = WindowHead(**({"mask_gain": CAFFE_GAIN} if published else {}) | _pop(settings, HEAD))
    learning = Learning.paper() if compat else Learning()
    learning = replace(learning, **_built(_pop(settings, LEARNING)))
    settings = {"longest_side": None} | settings
    model = FastMask(
        body, make_neck(neck, body.channels, hidden), head, learning=learning, **settings
    )
    if published:
        initialise(model)
    return model


def _check(name: str, value: Any, allowed: Sequence[Any]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} expects one of {', '.join(map(repr, allowed))}, got {value!r}")


def _pop(settings: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Take out the settings of those names."""
    return {name: settings.pop(name) for name in names if name in settings}


def _built(given: dict[str, Any]) -> dict[str, Any]:
    """Build rule and sampling where their arguments are given."""
    kinds = {"rule": FastMaskRule, "sampling": Sampling}
    return {
        name: kinds[name](**value) if isinstance(value, Mapping) else value
        for name, value in given.items()
    }


def fastmask_resnet39(
    *,
    num_classes: int = 1,
    weights_backbone: Any = None,
    progress: bool = True,
    norm: Norm | None = None,
    stride_in: Literal["3x3", "1x1"] = "3x3",
    branching: Branching = "stride",
    **settings: Any,
) -> FastMask:
    """FastMask on ResNet-50 up to res4, the most accurate one of the paper.

    Images are trained on 7 scales with a longest side of 800 to 869 px and evaluated on 8 with
    1300 px, which the paper's recall goes with. The released code's faster setting is
    ``eval_zooms=(3, 2), longest_side=870, limits={"candidates": 100}``.

    Args:
        num_classes: 1.
        weights_backbone: name of torchvision's ResNet-50 weights, or None.
        progress: show the download.
        norm: of the body: "frozen" keeps the statistics of the weights, "batch" and "group"
            train; "frozen" with weights, else "group".
        stride_in: "1x1" is the released network's; torchvision's weights need "3x3".
        branching: "stride" strides the first block of res4, as the released code does; "pool"
            pools before it, as the paper says.
        settings: arguments of :func:`fastmask`.

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     model = fastmask_resnet39()
        >>> sum(p.numel() for p in model.parameters())
        27033381
    """
    norm = norm or ("frozen" if weights_backbone else "group")
    _check("norm", norm, tuple(NORMS))
    body = resnet39_body(
        weights=weights_backbone,
        progress=progress,
        norm=NORMS[norm],
        stride_in=stride_in,
        branching=branching,
    )
    return _published(body, num_classes, settings)


def fastmask_vgg16(
    *,
    num_classes: int = 1,
    weights_backbone: Any = None,
    progress: bool = True,
    **settings: Any,
) -> FastMask:
    """FastMask on VGG-16 up to conv5_3, as in the paper's ablations; arguments as for ResNet-39."""
    body = vgg16_body(weights=weights_backbone, progress=progress)
    return _published(body, num_classes, settings)


def fastmask_pvanet(
    *,
    num_classes: int = 1,
    weights_backbone: None = None,
    norm: Literal["batch", "group"] = "group",
    **settings: Any,
) -> FastMask:
    """FastMask on PVANet up to conv4_4, the fastest one of the paper with ``zooms=(3,)``.

    Args:
        num_classes: 1.
        weights_backbone: None: torchvision has none of PVANet.
        norm: "batch" is PVANet's own; "group" suits batches of few images.
        settings: arguments of :func:`fastmask`.

    Raises:
        ValueError: weights are asked for, or an unknown ``norm``.
    """
    if weights_backbone is not None:
        raise ValueError(
            f"weights_backbone expects None, got {weights_backbone!r}; "
            "torchvision has no PVANet weights"
        )
    _check("norm", norm, ("batch", "group"))
    body = pvanet_body(norm=group_norm if norm == "group" else nn.BatchNorm2d)
    return _published(body, num_classes, settings)


def fastmask_small(
    *, num_classes: int = 1, weights_backbone: None = None, **settings: Any
) -> FastMask:
    """FastMask of about a million parameters, to train from scratch on a CPU.

    Windows of 20 to 320 px at strides 2, 3, 4, 6, ... 32 for objects of 8 to 218 px, with masks of
    20x20 cells supervised at 40x40; images keep their size. ``settings`` are arguments of
    :func:`fastmask`.
    """
    if weights_backbone is not None:
        raise ValueError(f"weights_backbone expects None, got {weights_backbone!r}; there are none")
    small: dict[str, Any] = {
        "hidden": 32,
        "channels": 32,
        "mask": 20,
        "upsample": 2,
        "widths": HeadWidths(score=(96, 96), mask=96, dropout=0.0),
        "zooms": (4, 3),
        "mask_threshold": 0.5,  # where edges are learnt well, the released 0.2 widens masks
        "limits": {"candidates": 500, "detections": 500},
    }
    return fastmask(small_body(), num_classes=num_classes, **(small | settings))


def _published(body: StreamBody, num_classes: int, settings: dict[str, Any]) -> FastMask:
    """Build the published model; one that is cut to a stream stays so in evaluation."""
    published = dict(PUBLISHED)
    if "zooms" in settings:
        published["eval_zooms"] = settings["zooms"]
    return fastmask(body, num_classes=num_classes, **(published | settings))
