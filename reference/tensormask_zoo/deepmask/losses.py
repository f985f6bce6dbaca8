"""DeepMask's two losses, both soft margins (Pinheiro et al. 2015, section 3)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

SCORE_WEIGHT = 1 / 32  # the paper's lambda; the released code's is 1 / batch, of 32 patches


def mask_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the sum over patches of the mean soft margin of their cells.

    A sum over patches, so that the step of a mask does not depend on how many come with it; the
    released code reaches the same by multiplying the gradient of a mean by the batch.

    Args:
        logits: (M, V, U).
        targets: (M, V, U), +1 on the object and -1 elsewhere.

    Example:
        >>> import torch
        >>> round(float(mask_loss(torch.zeros(2, 4, 4), torch.ones(2, 4, 4))), 4)  # 2 ln 2
        1.3863
    """
    return F.softplus(-targets * logits.float()).mean(dim=(1, 2)).sum()


def score_loss(logits: Tensor, labels: Tensor, weight: float = SCORE_WEIGHT) -> Tensor:
    """Return ``weight`` times the sum over patches of the soft margin of their scores.

    Args:
        logits: (B,).
        labels: (B,), +1 for patches of a canonical object, -1 for others.
        weight: the paper's lambda.

    Example:
        >>> import torch
        >>> round(float(score_loss(torch.zeros(32), torch.ones(32))), 4)  # ln 2
        0.6931
    """
    return weight * F.softplus(-labels * logits.float()).sum()
