"""Which windows of an image are trained: random ones, 1:1 (InstanceFCN, section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tensormask_core import WindowGrid
from tensormask_core.assign import DeepMaskRule
from tensormask_core.grid_level import IntArray
from tensormask_zoo.image_batching import Target
from tensormask_zoo.tensormask.targets import Rule

Shortage = Literal["negatives", "fewer"]


class Drawn(NamedTuple):
    """Flat indices (S,) of windows, and the object (S,) of each; negatives have -1, at the end."""

    window: IntArray
    object: IntArray


@dataclass(frozen=True, kw_only=True)
class WindowSampling:
    """Draws positive and negative windows of an image.

    Positives are "as in DeepMask": DeepMask's 128 px of 224 are 96 px in a window of 168 px, a
    quarter octave more or less. Scales of the image 1.5 apart then leave out one size in seven;
    a rule with ``positive_octaves=0.3`` takes all. Windows that stand for a crowd, or nearly so,
    are not drawn.

    Args:
        rule: labels the windows.
        windows: how many are drawn per image.
        positive_share: how many of them are positive, if there are as many.
        shortage: what happens if there are not: "negatives" take the place of missing positives,
            as in Faster R-CNN, which the paper follows; "fewer" windows keep the ratio.

    Raises:
        ValueError: fewer than two windows, a share outside (0, 1) or an unknown ``shortage``.

    Example:
        >>> from tensormask_core.grid import GridLevel
        >>> grid = WindowGrid((GridLevel(30, 40, 8, windows_px=((168, 168),)),))
        >>> target = {"boxes": torch.tensor([[60.0, 60, 150, 156]])}
        >>> drawn = WindowSampling(windows=64).draw(grid, target)
        >>> len(drawn.window), int((drawn.object == 0).sum())
        (64, 12)
    """

    rule: Rule = field(default_factory=DeepMaskRule.paper)
    windows: int = 256
    positive_share: float = 0.5
    shortage: Shortage = "negatives"

    def __post_init__(self) -> None:
        if self.windows < 2 or not 0 < self.positive_share < 1:
            raise ValueError(
                "WindowSampling expects at least 2 windows and a positive_share between 0 and 1, "
                f"got {self.windows} and {self.positive_share}"
            )
        if self.shortage not in ("negatives", "fewer"):
            raise ValueError(f"shortage expects 'negatives' or 'fewer', got {self.shortage!r}")

    def draw(self, grid: WindowGrid, target: Target) -> Drawn:
        """Draw windows of an image by torch's random numbers.

        Args:
            grid: the windows of the image, in the px of the target.
            target: ``boxes`` (N, 4) XYXY px and optionally ``iscrowd`` (N,).
        """
        boxes = target["boxes"].as_subclass(Tensor).cpu().numpy()
        crowd = np.zeros(len(boxes), bool)
        if "iscrowd" in target:
            crowd = target["iscrowd"].cpu().numpy() != 0
        found = self.rule(grid, boxes[~crowd])
        background = found.labels() == 0
        if crowd.any():
            background &= self.rule(grid, boxes[crowd]).labels() == 0
        positives = _choose(np.arange(len(found.window)), round(self.windows * self.positive_share))
        negatives = _choose(np.flatnonzero(background), self._negatives(len(positives)))
        own = np.flatnonzero(~crowd)[found.object[positives]]
        window = np.concatenate([found.window[positives], negatives])
        return Drawn(window, np.concatenate([own, np.full(len(negatives), -1)]))

    def _negatives(self, positives: int) -> int:
        """Return how many negatives go with ``positives``; at least one, so that scores learn."""
        if self.shortage == "negatives":
            return self.windows - positives
        return max(1, round(positives * (1 - self.positive_share) / self.positive_share))


def _choose(values: Any, count: int) -> Any:
    """Return ``count`` of the values at random, or all if there are no more."""
    return values[torch.randperm(len(values))[:count].numpy()]
