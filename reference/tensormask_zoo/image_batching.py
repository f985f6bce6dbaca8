"""Images of any size as one normalised batch, by torchvision's own transform."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torchvision.models.detection.transform import GeneralizedRCNNTransform

IMAGE_MEAN = (0.485, 0.456, 0.406)  # of ImageNet, RGB in [0, 1]
IMAGE_STD = (0.229, 0.224, 0.225)

Target = dict[str, Tensor]


class ImageBatching(GeneralizedRCNNTransform):  # type: ignore[misc]  # untyped by torchvision
    """torchvision's transform, which can also leave images at their size.

    Args:
        size_divisible: height and width of a batch are padded to a multiple of this.
        min_size: short side that images are resized to; None leaves them as they are.
        max_size: the long side stays below this.
        image_mean: subtracted from RGB images in [0, 1].
        image_std: divides them.
    """

    def __init__(
        self,
        *,
        size_divisible: int,
        min_size: int | None = 800,
        max_size: int = 1333,
        image_mean: Sequence[float] = IMAGE_MEAN,
        image_std: Sequence[float] = IMAGE_STD,
    ) -> None:
        self.keeps_size = min_size is None
        super().__init__(
            min_size or max_size,
            max_size,
            list(image_mean),
            list(image_std),
            size_divisible=size_divisible,
        )

    def resize(self, image: Tensor, target: Target | None = None) -> tuple[Tensor, Target | None]:
        """Resize one image with its target, or return both as they are."""
        if self.keeps_size:
            return image, target
        resized: tuple[Tensor, Target | None] = super().resize(image, target)
        return resized
