"""Generated images for a run: an endless series to train on, fixed ones to validate on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader, Sampler

from tensormask_zoo.data.module import InstanceData
from tensormask_zoo.data.shapes import Shapes

ENDLESS = 2**40  # more images than any run draws; made on the fly, so their number costs nothing


class ShapesData(InstanceData):
    """Generated images, never the same twice in training, always the same in validation.

    Training draws image after image of one endless series: each epoch goes on where the one before
    ended, and a resumed run where it stopped. Validation has a seed of its own.

    Args:
        train_length: Images per epoch.
        val_length: Images to validate on.
        seed: Another seed gives other images, in training and validation.
        image_size: (H, W) in px.
        objects: Fewest and most shapes per image.
        size_px: Smallest and largest shape in px.
        batch_size: Images per step and device.
        num_workers: Processes that draw ahead; 0 draws in the training process, which takes less
            than a millisecond per image of 128 x 128.
        fixed: Train and validate on this many images, over and over, to see whether a set-up can
            learn at all; 0 for the endless series.
    """

    def __init__(  # noqa: PLR0913  (each is a field of the command line)
        self,
        train_length: int = 8000,
        val_length: int = 200,
        seed: int = 0,
        image_size: tuple[int, int] = (128, 128),
        objects: tuple[int, int] = (1, 6),
        size_px: tuple[float, float] = (10.0, 100.0),
        batch_size: int = 8,
        num_workers: int = 0,
        *,
        fixed: int = 0,
    ) -> None:
        super().__init__(batch_size, num_workers)
        self.train_length = train_length
        look: dict[str, Any] = {"image_size": image_size, "objects": objects, "size_px": size_px}
        # Even and odd: no choice of `seed` turns training images into validation images.
        self._train_set = Shapes(length=fixed or ENDLESS, seed=2 * seed, **look)
        held_back = Shapes(length=val_length, seed=2 * seed + 1, **look)
        self._val_set = self._train_set if fixed else held_back

    @property
    def train_set(self) -> Shapes:
        """The endless series."""
        return self._train_set

    @property
    def val_set(self) -> Shapes:
        """The held-back images."""
        return self._val_set

    def train_dataloader(self) -> DataLoader[Any]:
        """Load the next `train_length` images of the series."""
        sampler = Series(self.train_length, self._images_seen, len(self.train_set))
        return self._loader(self.train_set, sampler=sampler, drop_last=True)

    def _images_seen(self) -> int:
        """Count the images that all devices have trained on so far, resumed runs included."""
        if self.trainer is None:
            return 0
        batches = self.trainer.fit_loop.epoch_loop.total_batch_idx + 1
        return batches * self.batch_size * self.trainer.world_size


class Series(Sampler[int]):
    """Consecutive numbers that go on from pass to pass.

    Args:
        count: How many per pass.
        start: Gives the first number, asked at the beginning of each pass.
        length: Of the data set; after its last number comes 0.

    Example:
        >>> list(Series(3, lambda: 10, length=12))
        [10, 11, 0]
    """

    def __init__(self, count: int, start: Callable[[], int], length: int) -> None:
        self.count, self.start, self.length = count, start, length

    def __iter__(self) -> Iterator[int]:
        first = self.start()
        yield from (number % self.length for number in range(first, first + self.count))

    def __len__(self) -> int:
        return self.count
