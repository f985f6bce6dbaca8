"""Images of any size as one normalised batch, by torchvision's own transform."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torchvision.models.detection.transform import GeneralizedRCNNTransform

IMAGE_MEAN = (0.485, 0.456, 0.406)  # of ImageNet, RGB in [0, 1]
IMAGE_STD = (0.229, 0.224, 0.225)

Target = dict[str, Tensor]


class ImageBatching(GeneralizedRCNNTransform):
    """torchvision's transform, which can also leave images at their size.

    Args:
        min_size: short side that images are resized to; None leaves them as they are.
        max_size: the long side stays below this.
        mean: subtracted from RGB images in [0, 1].
        std: divides them.
        size_divisible: height and width of a batch are padded to a multiple of this.
    """

    def __init__(
        self,
        min_size: int | None,
        max_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        size_divisible: int,
    ) -> None:
        self.keeps_size = min_size is None
        super().__init__(
            min_size or max_size, max_size, list(mean), list(std), size_divisible=size_divisible
        )

    def resize(self, image: Tensor, target: Target | None = None) -> tuple[Tensor, Target | None]:
        """Resize one image with its target, or return both as they are."""
        if self.keeps_size:
            return image, target
        resized: tuple[Tensor, Target | None] = super().resize(image, target)
        return resized
