"""Images of any size as normalised batches, by torchvision's own transform."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.transform import GeneralizedRCNNTransform

IMAGE_MEAN = (0.485, 0.456, 0.406)  # of ImageNet, RGB in [0, 1]
IMAGE_STD = (0.229, 0.224, 0.225)
LARGEST_VALUE = 2.0  # augmentation may leave [0, 1] a little; images of 0 to 255 are a mistake

Target = dict[str, Tensor]
ImageSize = tuple[int, int]


class ImageBatching(GeneralizedRCNNTransform):  # type: ignore[misc]  # untyped by torchvision
    """torchvision's transform, which can also leave images at their size.

    Args:
        size_divisible: height and width of a batch are padded to a multiple of this.
        min_size: short side that images are resized to; of several, one is drawn for each image
            in training, and the last is taken otherwise. None leaves images as they are.
        max_size: the long side stays below this.
        image_mean: subtracted from RGB images in [0, 1].
        image_std: divides them.
    """

    def __init__(
        self,
        *,
        size_divisible: int,
        min_size: int | Sequence[int] | None = 800,
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
        short, long = sorted(image.shape[-2:])
        if short * self.max_size < long:
            raise ValueError(
                f"an image of {tuple(image.shape[-2:])} px has no pixel left on its short side at "
                f"max_size={self.max_size}; crop or pad it, or build the model with min_size=None"
            )
        resized: tuple[Tensor, Target | None] = super().resize(image, target)
        return resized

    def batches(self, images: Sequence[Tensor]) -> Iterator[tuple[list[int], ImageList]]:
        """Yield the rows of images that are equally large once padded, each set as one batch.

        Each image is padded to the next multiple of ``size_divisible`` and no further, so what is
        computed for it does not depend on the images that come with it.
        """
        ready = [self.resize(self.normalize(image))[0] for image in images]
        rows_of: dict[ImageSize, list[int]] = {}
        for row, image in enumerate(ready):
            rows_of.setdefault(self._padded(size_of(image)), []).append(row)
        for rows in rows_of.values():
            mine = [ready[row] for row in rows]
            tensors = self.batch_images(mine, size_divisible=self.size_divisible)
            yield rows, ImageList(tensors, [size_of(image) for image in mine])

    def _padded(self, size: ImageSize) -> ImageSize:
        height, width = (-(-side // self.size_divisible) * self.size_divisible for side in size)
        return height, width


def size_of(image: Tensor) -> ImageSize:
    """Return height and width of an image, px."""
    return image.shape[-2], image.shape[-1]


def check_images(images: Sequence[Tensor]) -> None:
    """Refuse images that would be detected in as something else without a word.

    Values are looked at, a few of each image, only where that does not wait for a device.

    Raises:
        TypeError: an image is not a tensor of floating point.
        ValueError: an image is not (3, H, W) with at least one pixel, or far outside [0, 1].
    """
    for row, image in enumerate(images):
        if not isinstance(image, Tensor) or not image.is_floating_point():
            kind = image.dtype if isinstance(image, Tensor) else type(image).__name__
            raise TypeError(
                f"images expects tensors of floating point in [0, 1], got {kind} in row {row}; "
                "divide images of 0 to 255 by 255"
            )
        if image.dim() != 3 or image.shape[0] != 3 or not image.numel():
            raise ValueError(
                f"images expects RGB (3, H, W) of at least one pixel, got {tuple(image.shape)} in "
                f"row {row}; pass a list of images, not a batch"
            )
        if image.device.type == "cpu" and image[:, ::16, ::16].max() > LARGEST_VALUE:
            raise ValueError(
                f"images expects values in [0, 1], got up to {float(image.max()):g} in row {row}; "
                "divide images of 0 to 255 by 255"
            )
