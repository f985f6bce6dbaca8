"""FastMask (Hu, Lan, Jiang, Cao and Sha, CVPR 2017)."""

from __future__ import annotations

from tensormask_zoo.fastmask.builders import (
    fastmask_pvanet,
    fastmask_resnet39,
    fastmask_small,
    fastmask_vgg16,
)
from tensormask_zoo.fastmask.model import FastMask

__all__ = [
    "FastMask",
    "fastmask_pvanet",
    "fastmask_resnet39",
    "fastmask_small",
    "fastmask_vgg16",
]
