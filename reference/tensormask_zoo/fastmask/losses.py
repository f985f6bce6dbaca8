"""FastMask's three losses: score, attention and mask (equations 1 to 5)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def score_loss(logits: Tensor, positives: Tensor) -> Tensor:
    """Return the sum over windows of the cross-entropy of their scores.

    Args:
        logits: (S,).
        positives: (S,) bool.
    """
    return F.binary_cross_entropy_with_logits(logits.float(), positives.float(), reduction="sum")


def cell_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the sum over windows of the mean cross-entropy of their cells.

    Args:
        logits: (P, V, U).
        targets: (P, V, U) in [0, 1].

    Example:
        >>> import torch
        >>> round(float(cell_loss(torch.zeros(3, 2, 2), torch.ones(3, 2, 2))), 4)
        2.0794
    """
    cells = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
    return cells.mean(dim=(1, 2)).sum()
