"""Optimiser and learning-rate schedule, as data."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

DROP = 0.1  # factor of the rate at each of `drops`


@dataclass(frozen=True)
class Optimisation:
    """Warm-up, then cosine decay over the whole run, or drops at given iterations.

    The defaults train small models from scratch. ``method="sgd"`` with ``warmup_steps`` and
    ``drops`` is how the papers train: the files ``reference/configs/coco_*.yaml`` have the
    published numbers, which are iterations of 16 images.

    Attributes:
        method: AdamW, or stochastic gradient descent with momentum.
        lr: peak learning rate.
        betas: AdamW's averaging factors; SGD's momentum is the first.
        weight_decay: AdamW applies it to weights of two axes and more, never to norms and biases;
            SGD applies it to everything that trains, as published.
        clip: largest norm of the gradient; None for no limit.
        warmup: share of the run in which the rate rises linearly.
        warmup_steps: the same in iterations, which replaces the share.
        warmup_from: factor of the rate at the very first iteration.
        drops: iterations at which the rate falls to a tenth; none for a cosine.
        rates: shares of the peak rate from each of ``drops`` on, where they are no tenths.

    Raises:
        ValueError: there are rates, but not one for each drop.
    """

    method: Literal["adamw", "sgd"] = "adamw"
    lr: float = 5e-3
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.02
    clip: float | None = 10.0
    warmup: float = 0.05
    warmup_steps: int | None = None
    warmup_from: float = 0.0
    drops: tuple[int, ...] = ()
    rates: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.rates and len(self.rates) != len(self.drops):
            raise ValueError(
                f"rates expects one for each of drops={tuple(self.drops)}, got {tuple(self.rates)}"
            )

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """Return the optimiser of the trainable ``parameters``."""
        trainable = [p for p in parameters if p.requires_grad]
        if self.method == "sgd":
            return SGD(
                trainable, lr=self.lr, momentum=self.betas[0], weight_decay=self.weight_decay
            )
        groups = [
            {"params": [p for p in trainable if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
        ]
        return AdamW(groups, lr=self.lr, betas=self.betas, fused=True)

    def factor(self, progress: float, step: int = 0) -> float:
        """Return the share of the peak rate.

        Args:
            progress: how much of the run is done, in [0, 1].
            step: iterations done.

        Example:
            >>> recipe = Optimisation(warmup=0.1)
            >>> recipe.factor(0.05), recipe.factor(0.1), round(recipe.factor(1.0), 6)
            (0.5, 1.0, 0.0)
            >>> published = Optimisation(warmup_steps=1000, drops=(60_000, 80_000))
            >>> [round(published.factor(0, step), 4) for step in (500, 1000, 60_000, 80_000)]
            [0.5, 1.0, 0.1, 0.01]
        """
        warmed = self._warmed(progress, step)
        if warmed < 1:
            return self.warmup_from + (1 - self.warmup_from) * warmed
        if self.drops:
            passed = sum(step >= drop for drop in self.drops)
            return (1.0, *self.rates)[passed] if self.rates else DROP**passed
        start = self.warmup if self.warmup_steps is None else 0.0
        decayed = (min(progress, 1.0) - start) / (1 - start)
        return (1 + math.cos(math.pi * decayed)) / 2

    def _warmed(self, progress: float, step: int) -> float:
        """Return how much of the warm-up is done; 1 and more is all of it."""
        done, whole = progress, self.warmup
        if self.warmup_steps is not None:
            done, whole = step, self.warmup_steps
        return done / whole if whole else 1.0
