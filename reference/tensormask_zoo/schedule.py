"""Optimiser and learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn
from torch.optim import AdamW, Optimizer


@dataclass(frozen=True)
class Optimisation:
    """AdamW with warm-up and cosine decay over the whole run, however its length is given.

    Attributes:
        lr: peak learning rate.
        betas: AdamW's averaging factors.
        weight_decay: applied to weights of two axes and more, never to norms and biases.
        warmup: share of the run in which the rate rises linearly.
        clip: largest norm of the gradient.
    """

    lr: float = 5e-3
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.02
    warmup: float = 0.05
    clip: float = 10.0

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """Return AdamW over the trainable ``parameters``."""
        trainable = [p for p in parameters if p.requires_grad]
        groups = [
            {"params": [p for p in trainable if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
        ]
        return AdamW(groups, lr=self.lr, betas=self.betas, fused=True)

    def factor(self, progress: float) -> float:
        """Return the share of the peak rate at ``progress`` in [0, 1] of the run.

        Example:
            >>> recipe = Optimisation(warmup=0.1)
            >>> recipe.factor(0.05), recipe.factor(0.1), round(recipe.factor(1.0), 6)
            (0.5, 1.0, 0.0)
        """
        if progress < self.warmup:
            return progress / self.warmup
        decayed = (min(progress, 1.0) - self.warmup) / (1 - self.warmup)
        return (1 + math.cos(math.pi * decayed)) / 2
