"""InstanceFCN by name: plain functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from tensormask_core.assign import DeepMaskRule
from tensormask_zoo.class_counts import check_one_class
from tensormask_zoo.instancefcn.dilated_vgg import DilatedVGG, Pool, vgg16_features, vgg_features
from tensormask_zoo.instancefcn.image_scales import ImageScales
from tensormask_zoo.instancefcn.instance_head import InstanceHead
from tensormask_zoo.instancefcn.losses import InstanceLoss
from tensormask_zoo.instancefcn.model import InstanceFCN
from tensormask_zoo.instancefcn.window_sampling import WindowSampling

SMALL_LAYERS: list[str | int] = [16, "M", 32, "M", 48, 48, "M", 64, 64, "M"]
SMALL: dict[str, Any] = {
    "scales": {"factors": [1.5**n for n in (-2, -1, 0, 1, 2, 3)]},
    "sampling": {
        "rule": {"positive_octaves": 0.3},  # so that no size falls between two scales
        # A small image has about 3 positives at a scale; among 256 windows scores ignore them.
        "positive_share": 0.25,
        "shortage": "fewer",
    },
    "loss": {"soft_targets": True},  # an object is 9 nodes long: half a node at its edge matters
}


def instancefcn_vgg16(
    *,
    num_classes: int = 1,
    k: int = 5,
    weights_backbone: Any = None,
    progress: bool = True,
    pool4: Pool = "3x3",
    **settings: Any,
) -> InstanceFCN:
    """InstanceFCN with VGG-16, as in the paper; 1.5 s per image of VOC on its K40.

    Args:
        num_classes: 1, as proposals have no class.
        k: cells per side; the paper adopts 5, beside 3 and 7 which cost it 0.6 and 0.1 of AR@10.
        weights_backbone: a name of torchvision's VGG-16 weights, or None.
        progress: show the download of the weights.
        pool4: kernel of the pooling that has lost its stride; see :class:`DilatedVGG`.
        settings: arguments of :class:`InstanceFCN`; ``scales``, ``sampling``, ``loss`` and
            ``limits`` may be given as the arguments of their classes, and ``sampling``'s ``rule``
            as what differs from :meth:`tensormask_core.assign.DeepMaskRule.paper`.

    Raises:
        ValueError: another number of classes, or an unknown setting.

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     model = instancefcn_vgg16()
        >>> sum(p.numel() for p in model.parameters())
        17452890
    """
    check_one_class(num_classes)
    trunk = DilatedVGG(vgg16_features(weights_backbone, progress=progress), pool=pool4)
    head = InstanceHead(trunk.channels, k=k)
    return InstanceFCN(trunk, head, **_made(settings))


def instancefcn_small(
    *, num_classes: int = 1, k: int = 5, m: int = 15, hidden: int = 64, **settings: Any
) -> InstanceFCN:
    """InstanceFCN of 0.2 million parameters, to train from scratch on a CPU.

    A VGG of six narrow layers, stride 4 and one layer with holes; windows of 60 px for objects of
    34 px, at 4/9 to 27/8 of the image: objects of 8 to 94 px. Groups are normalised: each batch
    has a scale of its own, and the statistics of batches would be those of the last few.

    Args:
        num_classes: 1, as proposals have no class.
        k: cells per side.
        m: nodes of 4 px per side of a window.
        hidden: channels of the first convolution of each branch.
        settings: see :func:`instancefcn_vgg16`.
    """
    check_one_class(num_classes)
    trunk = DilatedVGG(vgg_features(SMALL_LAYERS, norm=partial(nn.GroupNorm, 4)), stride=4)
    head = InstanceHead(trunk.channels, k=k, m=m, stride=trunk.stride, hidden=hidden)
    return InstanceFCN(trunk, head, **_made(SMALL | settings))


def _made(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Make the values that are given as arguments of their classes, as in a configuration file."""
    made = dict(settings)
    for name, make in (("scales", ImageScales), ("sampling", _sampling), ("loss", InstanceLoss)):
        if isinstance(made.get(name), Mapping):
            made[name] = make(**made[name])
    return made


def _sampling(**arguments: Any) -> WindowSampling:
    if isinstance(arguments.get("rule"), Mapping):
        arguments["rule"] = replace(DeepMaskRule.paper(), **arguments["rule"])
    return WindowSampling(**arguments)
