"""The two losses of the sampled windows (InstanceFCN, equation 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from tensormask_zoo.instancefcn.targets import WindowTargets

Pixels = Literal["mean", "sum"]


@dataclass(frozen=True, kw_only=True)
class InstanceLoss:
    """How equation 1 is read, which gives neither weights nor normalisers.

    Both losses are logistic. Nodes outside the map of an image, which nobody predicts, count for
    nothing.

    Args:
        pixels: "sum" over the nodes of a window and mean over all windows, as the equation is
            written, up to the number of windows: masks weigh some m^2 times as much as scores.
            "mean" over the nodes and over the windows with a mask, as in DeepMask, weighs them
            alike.
        negative_masks: negatives learn empty masks. In DeepMask, which the paper follows
            otherwise, they learn none.
        mask_weight: factor of the mask loss.
        soft_targets: masks are trained on the covered share of each node's square, in [0, 1],
            rather than on 0 and 1.

    Raises:
        ValueError: an unknown ``pixels``.
    """

    pixels: Pixels = "mean"
    negative_masks: bool = False
    mask_weight: float = 1.0
    soft_targets: bool = False

    def __post_init__(self) -> None:
        if self.pixels not in ("mean", "sum"):
            raise ValueError(f"pixels expects 'mean' or 'sum', got {self.pixels!r}")

    def rows(self, targets: WindowTargets) -> Tensor:
        """Return which windows (T,) learn a mask: only these are assembled."""
        learns = torch.ones_like(targets.positive) if self.negative_masks else targets.positive
        return learns.nonzero()[:, 0]

    def objectness(self, logits: Tensor, targets: WindowTargets) -> Tensor:
        """Return the mean loss of the scores (S,) of the windows.

        Example:
            >>> index, positive = torch.zeros(2, 3), torch.tensor([True, False])
            >>> targets = WindowTargets(index, positive, torch.zeros(2, 3, 3), torch.ones(2, 3, 3))
            >>> round(float(InstanceLoss().objectness(torch.zeros(2), targets)), 4)
            0.6931
        """
        goals = targets.positive.float()
        total = F.binary_cross_entropy_with_logits(logits.float(), goals, reduction="sum")
        return total / max(1, len(goals))

    def masks(self, logits: Tensor, rows: Tensor, targets: WindowTargets) -> Tensor:
        """Return the loss of mask logits (T, m, m) of the windows ``rows`` (T,)."""
        goals, inside = targets.masks[rows], targets.inside[rows].float()
        nodes = F.binary_cross_entropy_with_logits(logits.float(), goals, reduction="none") * inside
        windows = nodes.sum(dim=(1, 2))  # (T,)
        if self.pixels == "sum":
            return self.mask_weight * windows.sum() / max(1, len(targets.positive))
        windows = windows / inside.sum(dim=(1, 2)).clamp(min=1)
        return self.mask_weight * windows.sum() / max(1, len(rows))
