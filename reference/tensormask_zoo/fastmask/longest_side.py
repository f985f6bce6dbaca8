"""Image sizes as FastMask has them: given by the longest side, drawn anew in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from tensormask_zoo.image_batching import ImageBatching, Target


class LongestSide(ImageBatching):
    """Resizes the longest side of images; both sides are scaled alike.

    Args:
        size_divisible: height and width of a batch are padded to a multiple of this.
        longest_side: px in evaluation; None leaves images as they are, in training too.
        train_sides: px, of which one is drawn for each image in training; ``longest_side`` if
            left out.
        batching: ``image_mean`` and ``image_std`` of :class:`ImageBatching`.

    Raises:
        ValueError: a side that is not positive.

    Example:
        >>> import torch
        >>> batching = LongestSide(size_divisible=8, longest_side=120).eval()
        >>> batching([torch.zeros(3, 300, 400)])[0].image_sizes
        [(90, 120)]
    """

    def __init__(
        self,
        *,
        size_divisible: int,
        longest_side: int | None,
        train_sides: Sequence[int] = (),
        **batching: Any,
    ) -> None:
        sides = [*train_sides, *([longest_side] if longest_side is not None else [])]
        if sides and min(sides) < 1:
            raise ValueError(f"sides of an image expect 1 px or more, got {min(sides)}")
        largest = max(sides, default=1)
        super().__init__(
            size_divisible=size_divisible,
            min_size=None if longest_side is None else largest,
            max_size=largest,
            **batching,
        )
        self.longest_side, self.train_sides = longest_side, tuple(train_sides)

    def resize(self, image: Tensor, target: Target | None = None) -> tuple[Tensor, Target | None]:
        """Resize one image with its target, or return both as they are."""
        if self.longest_side is not None:
            drawn = self.training and self.train_sides
            side = self.torch_choice(list(self.train_sides)) if drawn else self.longest_side
            self.min_size, self.max_size = (side,), side
        return super().resize(image, target)
