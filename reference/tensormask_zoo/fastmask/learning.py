"""What is learnt from an image: the sampled windows and the goals of their masks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from tensormask_core import WindowGrid
from tensormask_core.assign import FastMaskRule
from tensormask_zoo.fastmask.heads import WindowHead
from tensormask_zoo.fastmask.targets import (
    Sample,
    Sampling,
    attention_targets,
    mask_targets,
    sample_windows,
)
from tensormask_zoo.fastmask.windows import WindowTable
from tensormask_zoo.image_batching import Target
from tensormask_zoo.tensormask.targets import Rule


@dataclass(frozen=True, kw_only=True)
class Learning:
    """How windows are trained; the defaults are the released code's.

    Attributes:
        rule: labels the windows.
        sampling: how many of them are trained.
        divide_by: what sums over windows are divided by: "sampled" as in the released code,
            scores by the windows sampled, masks and attention by those with an object; "windows"
            as in the paper, all of the batch.
        soft_targets: train masks on the covered share of each cell rather than on 0 and 1.
    """

    rule: Rule = field(default_factory=FastMaskRule)
    sampling: Sampling = field(default_factory=Sampling)
    divide_by: Literal["sampled", "windows"] = "sampled"
    soft_targets: bool = True

    def __post_init__(self) -> None:
        if self.divide_by not in ("sampled", "windows"):
            raise ValueError(f"divide_by expects 'sampled' or 'windows', got {self.divide_by!r}")

    @classmethod
    def paper(cls) -> Learning:
        """Return what the paper says: its rule, random negatives 1:1, losses per window."""
        return cls(rule=FastMaskRule.paper(), sampling=Sampling(balanced=True), divide_by="windows")

    def of(self, grid: WindowGrid, target: Target, head: WindowHead) -> Learnt:
        """Sample the windows of an image and compute what they should predict."""
        sample = sample_windows(self.rule, grid, target, self.sampling)
        boxes = target["boxes"].as_subclass(Tensor).float()
        windows = torch.from_numpy(grid.boxes(sample.positive)).to(boxes)
        return Learnt(
            grid=grid,
            sample=sample,
            attention=attention_targets(windows, boxes[sample.object], head.window),
            masks=mask_targets(target, sample, windows, head.mask_cells, soft=self.soft_targets),
        )


@dataclass(frozen=True)
class Learnt:
    """The sampled windows of an image with the goals of their attention and masks.

    Attributes:
        grid: all windows.
        sample: those that are trained.
        attention: (P, V, U) in [0, 1].
        masks: (P, V', U') in [0, 1].
    """

    grid: WindowGrid
    sample: Sample
    attention: Tensor
    masks: Tensor

    @property
    def positive(self) -> Tensor:
        """Which of the sampled windows have an object, (S,) bool."""
        return torch.arange(len(self.sample.window)) < len(self.sample.object)

    def rows(self, table: WindowTable, image: int) -> Tensor:
        """Return the table's rows of the sampled windows, (S, V, U)."""
        return table.rows(image, self.grid.unravel(self.sample.window))
