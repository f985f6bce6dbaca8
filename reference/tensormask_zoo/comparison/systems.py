"""What is compared, as data: a system is a model with settings, beside what its paper reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tensormask_zoo.ablations.grid import Contrast
from tensormask_zoo.deepmask.pyramid import PyramidInference
from tensormask_zoo.deepmask.variants import SMALL

Size = Literal["small", "published"]
Settings = Mapping[str, Any]

PROPOSALS = 1000  # per image, for every system: the most that any paper counts
_LIMITS = {"candidates": PROPOSALS, "detections": PROPOSALS}
_ALL_LIMITS = {"score_threshold": 0.0, "detections": PROPOSALS}


def _pyramid(scales: Sequence[float], step: int = 1) -> Settings:
    return {"inference": {"scales": list(scales[::step]), "proposals": PROPOSALS}}


_SMALL_SCALES: Sequence[float] = SMALL["inference"]["scales"]
_PUBLISHED_SCALES = PyramidInference().scales

MODELS: dict[str, dict[Size, tuple[str, Settings]]] = {
    "deepmask": {
        "small": ("deepmask_small", _pyramid(_SMALL_SCALES)),
        "published": ("deepmask_w160_p4_d39_f128", _pyramid(_PUBLISHED_SCALES)),
    },
    "sharpmask": {
        "small": ("sharpmask_small", _pyramid(_SMALL_SCALES)),
        "published": ("sharpmask", {"stage": "joint", **_pyramid(_PUBLISHED_SCALES)}),
    },
    "instancefcn": {"small": ("instancefcn_small", {}), "published": ("instancefcn_vgg16", {})},
    "fastmask": {
        "small": ("fastmask_small", {"limits": _LIMITS}),
        "published": ("fastmask_resnet39", {"limits": _LIMITS}),
    },
    "tensormask": {
        "small": ("tensormask_small_fpn", {"limits": _ALL_LIMITS}),
        "published": ("tensormask_resnet50_fpn", {"limits": _ALL_LIMITS}),
    },
    "mask_rcnn": {
        "small": ("mask_rcnn_small_fpn", {"limits": _ALL_LIMITS}),
        "published": ("mask_rcnn_resnet50_fpn", {"limits": _ALL_LIMITS}),
    },
}
"""Names and settings by size: to train on a CPU, and as in the papers (SharpMask in one stage)."""

RATES: dict[tuple[str, Size], float] = {
    ("tensormask", "small"): 5e-3,
    ("mask_rcnn", "small"): 5e-3,
}
"""Learning rates, where a model is made for another one than the configuration has."""


@dataclass(frozen=True, kw_only=True)
class System:
    """A line of the table.

    Attributes:
        title: what it is.
        model: key of :data:`MODELS`.
        settings: what differs from the model there; by size where the sizes differ.
        of: the system whose weights it has; None where it is trained.
        source: where the paper's numbers are from.
        paper: the paper's numbers by metric, in percent, on COCO; ``seconds`` per image.
    """

    title: str
    model: str
    settings: Settings = field(default_factory=dict)
    of: str | None = None
    source: str = ""
    paper: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_variant(self) -> bool:
        """Whether it differs from the model of its name, or shares another system's weights."""
        return bool(self.of or self.settings)

    def build(self, size: Size) -> tuple[str, dict[str, Any]]:
        """Return the name and all settings of the model.

        Example:
            >>> SYSTEMS["fastmask_standard_head"].build("small")[1]["attention"]
            False
        """
        name, settings = MODELS[self.model][size]
        return name, {**settings, **self.settings.get(size, self.settings)}


def _recall(*at: float, auc: float | None = None, s: float | None = None) -> dict[str, float]:
    """Return average recall at 10, 100 and 1000, as far as given, AUC and seconds."""
    found = dict(zip(("mask AR@10", "mask AR@100", "mask AR@1000"), at, strict=False))
    return found | {k: v for k, v in (("mask AUC", auc), ("seconds", s)) if v is not None}


def _boxes(*at: float) -> dict[str, float]:
    return dict(zip(("box AR@10", "box AR@100", "box AR@1000"), at, strict=True))


def _neck(name: str, at_100: float, *by_size: float) -> System:
    """Return FastMask with another neck and the line of Table 1."""
    sizes = dict(zip(("mask ARS@100", "mask ARM@100", "mask ARL@100"), by_size, strict=True))
    return System(
        title=f"FastMask, {name.replace('_', '-')} neck",
        model="fastmask",
        settings={"neck": name},
        source="FastMask, Table 1 (VGG)",
        paper={"mask AR@100": at_100, **sizes},
    )


SYSTEMS: dict[str, System] = {
    "deepmask": System(
        title="DeepMask",
        model="deepmask",
        source="SharpMask, Table 4",
        paper=_recall(14.1, 25.8, 33.6, auc=19.4, s=0.46) | _boxes(18.0, 34.8, 47.0),
    ),
    "deepmask_every_other_scale": System(
        title="DeepMask, every other scale",
        model="deepmask",
        settings={
            "small": _pyramid(_SMALL_SCALES, step=2),
            "published": _pyramid(_PUBLISHED_SCALES, step=2),
        },
        of="deepmask",
        source="FastMask, Table 4",
        paper=_recall(11.3, 22.2, s=0.24),
    ),
    "sharpmask": System(
        title="SharpMask",
        model="sharpmask",
        source="SharpMask, Table 4",
        paper=_recall(15.4, 27.8, 36.0, auc=20.9, s=0.76) | _boxes(19.2, 36.2, 48.3),
    ),
    "sharpmask_coarse": System(
        title="SharpMask, not refined",
        model="sharpmask",
        settings={"refine": False},
        of="sharpmask",
    ),
    "instancefcn": System(
        title="InstanceFCN",
        model="instancefcn",
        source="InstanceFCN, Table 5",
        paper=_recall(16.6, 31.7, 39.2, s=1.5),
    ),
    "fastmask": System(
        title="FastMask, two streams",
        model="fastmask",
        source="FastMask, Tables 3 and 5",
        paper=_recall(16.9, 31.3, 40.6, s=0.26) | _boxes(22.6, 43.1, 57.4),
    ),
    "fastmask_one_stream": System(
        title="FastMask, cut to one stream",
        model="fastmask",
        settings={"eval_zooms": [3]},
        of="fastmask",
        source="FastMask, Table 4",
        paper=_recall(13.3, 26.6, s=0.14),
    ),
    "fastmask_average_neck": _neck("average", 27.9, 11.5, 36.9, 43.9),
    "fastmask_max_neck": _neck("max", 27.8, 11.1, 36.8, 44.2),
    "fastmask_feed_forward_neck": _neck("feed_forward", 27.1, 10.8, 35.8, 43.4),
    "fastmask_standard_head": System(
        title="FastMask, standard head",
        model="fastmask",
        settings={"attention": False},
        source="FastMask, Table 2 (VGG)",
        paper=_recall(12.7, 24.8, 33.2),
    ),
    "tensormask": System(title="TensorMask", model="tensormask"),
    "mask_rcnn": System(title="Mask R-CNN", model="mask_rcnn"),
}
"""FastMask itself has the residual neck and the attentional head."""

BASELINE = "sliding_windows"
"""The line of windows on a regular grid, for which nothing is trained."""

CONTRASTS: tuple[Contrast, ...] = (
    Contrast("SharpMask 4", "SharpMask - DeepMask", "sharpmask", ("deepmask",), "mask AR@100", 2.0),
    Contrast("SharpMask 4", "SharpMask - DeepMask", "sharpmask", ("deepmask",), "mask AUC", 1.5),
    Contrast(
        "", "SharpMask - DeepMask, contours", "sharpmask", ("deepmask",), "boundary AR@100"
    ),
    Contrast(
        "", "refined - coarse masks of the same windows",
        "sharpmask", ("sharpmask_coarse",), "mask AR@100",
    ),
    Contrast(
        "", "refined - coarse masks, contours",
        "sharpmask", ("sharpmask_coarse",), "boundary AR@100",
    ),
    *(
        Contrast(
            "FastMask 1", f"residual - {name.replace('_', '-')} neck",
            "fastmask", (f"fastmask_{name}_neck",), "mask AR@100", paper,
        )
        for name, paper in (("average", 1.4), ("max", 1.5), ("feed_forward", 2.2))
    ),
    Contrast(
        "FastMask 2", "attentional - standard head",
        "fastmask", ("fastmask_standard_head",), "mask AR@100", 4.5,
    ),
    Contrast(
        "FastMask 4", "all - every other scale, DeepMask",
        "deepmask", ("deepmask_every_other_scale",), "mask AR@100", 5.1,
    ),
    Contrast(
        "FastMask 4", "two streams - one, FastMask",
        "fastmask", ("fastmask_one_stream",), "mask AR@100", 4.7,
    ),
)  # fmt: skip
"""Differences that the papers claim: 27.8 - 25.8, 20.9 - 19.4, 29.3 - 27.9, and so on."""
