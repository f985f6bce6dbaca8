"""TensorMask's three losses (section 6 and zoo-facts of the published implementation).

Each is a sum over windows divided by the number of positive windows of the batch, at least 1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FOCAL_GAMMA = 3.0  # FL* of RetinaNet's appendix, with beta = 0
FOCAL_ALPHA = 0.3
MASK_POSITIVE_WEIGHT = 1.5
MASK_LOSS_WEIGHT = 2.0


def focal_star(logits: Tensor, positive: tuple[Tensor, ...]) -> Tensor:
    """Return the sum of FL* over all windows and classes.

    ``FL* = -alpha_t * log(sigmoid(gamma * x_t)) / gamma`` with x_t = x for targets and -x
    otherwise. Almost all targets are negative, so they are given as places.

    Args:
        logits: any shape.
        positive: index tensors of the entries whose target is 1, each entry once.

    Example:
        >>> round(float(focal_star(torch.zeros(1, 1), (torch.tensor([0]), torch.tensor([0])))), 7)
        0.0693147
    """
    # softplus(g*x) - softplus(-g*x) = g*x turns a negative's term into a positive's.
    background = (1 - FOCAL_ALPHA) * F.softplus(FOCAL_GAMMA * logits).sum()
    z = FOCAL_GAMMA * logits[positive]
    correction = FOCAL_ALPHA * F.softplus(-z) - (1 - FOCAL_ALPHA) * F.softplus(z)
    return (background + correction.sum()) / FOCAL_GAMMA


def box_loss(deltas: Tensor, targets: Tensor) -> Tensor:
    """Return the sum of l1 distances between box deltas (P, 4)."""
    return F.l1_loss(deltas, targets, reduction="sum")


def mask_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the sum over windows of the mean binary cross-entropy of their cells.

    Args:
        logits: (K, V, U).
        targets: (K, V, U) in [0, 1]: 0 or 1, or the covered share of each cell.
    """
    weight = torch.tensor(MASK_POSITIVE_WEIGHT, device=logits.device)
    cells = F.binary_cross_entropy_with_logits(
        logits.float(), targets, pos_weight=weight, reduction="none"
    )
    return MASK_LOSS_WEIGHT * cells.mean(dim=(1, 2)).sum()
