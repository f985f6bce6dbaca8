"""What the Lightning data modules share: loaders of lists, and the names of the classes.

The command line is made from the modules' signatures. Images come in [0, 1]; the model normalises.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from tensormask_zoo.data.coco import CocoInstances
from tensormask_zoo.data.sample import collate
from tensormask_zoo.data.shapes import Shapes


class InstanceData(LightningDataModule, ABC):
    """What all data modules share: loaders of lists, and the classes.

    Args:
        batch_size: Images per step and device.
        num_workers: Processes that read ahead; 0 reads in the training process.
    """

    def __init__(self, batch_size: int, num_workers: int) -> None:
        super().__init__()
        self.batch_size, self.num_workers = batch_size, num_workers

    @property
    @abstractmethod
    def train_set(self) -> Shapes | CocoInstances:
        """Images to train on."""

    @property
    @abstractmethod
    def val_set(self) -> Shapes | CocoInstances:
        """Images to validate on."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the labels 1..K."""
        return self.train_set.class_names

    @property
    def num_classes(self) -> int:
        """Number of classes K, without background."""
        return len(self.class_names)

    def train_dataloader(self) -> DataLoader[Any]:
        """Load training batches: a list of images and a list of targets."""
        whole_batches = len(self.train_set) >= self.batch_size  # else there would be none
        return self._loader(self.train_set, shuffle=True, drop_last=whole_batches)

    def val_dataloader(self) -> DataLoader[Any]:
        """Load validation batches, in order."""
        return self._loader(self.val_set)

    def _loader(self, dataset: Shapes | CocoInstances, **options: Any) -> DataLoader[Any]:
        """Make a loader of lists."""
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            collate_fn=collate,
            **options,
        )
