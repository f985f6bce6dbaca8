"""A folder in COCO format for a run: where its parts are, and how training images are changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tensormask_zoo.data.coco import CocoInstances
from tensormask_zoo.data.crops import ChooseCrop, RandomCrop, ShortSide, whole
from tensormask_zoo.data.module import InstanceData
from tensormask_zoo.data.transforms import eval_transforms, train_transforms

# Folder of images and annotation file of a split, in the layouts that are tried in turn.
LAYOUTS: tuple[tuple[str, str], ...] = (
    ("images", "annotations/instances_{split}.json"),
    ("{split}2017", "annotations/instances_{split}2017.json"),
    ("{split}/images", "{split}/annotations/instances.json"),  # as `write_coco` writes
)


@dataclass(frozen=True)
class CocoFiles:
    """Where a COCO data set keeps its parts, below the root.

    What is left out is looked for as `images/` or `train2017/` (`val2017/`) and
    `annotations/instances_train.json` or `annotations/instances_train2017.json` (`val` likewise).

    Attributes:
        train_images: Folder of the training images.
        train_annotations: COCO JSON of the training images.
        val_images: Folder of the validation images.
        val_annotations: COCO JSON of the validation images.
    """

    train_images: str | None = None
    train_annotations: str | None = None
    val_images: str | None = None
    val_annotations: str | None = None

    def find(self, root: Path, split: str) -> tuple[Path, Path]:
        """Find the folder of images and the annotation file of a split.

        Args:
            root: Folder of the data set.
            split: "train" or "val".

        Returns:
            The folder and the file.

        Raises:
            FileNotFoundError: What was tried, when nothing is there.
        """
        images = getattr(self, f"{split}_images")
        annotations = getattr(self, f"{split}_annotations")
        tried = []
        for layout in LAYOUTS:
            folder = root / (images or layout[0].format(split=split))
            file = root / (annotations or layout[1].format(split=split))
            if folder.is_dir() and file.is_file():
                return folder, file
            tried.append(f"{folder} with {file}")
        raise FileNotFoundError(f"expected COCO {split} images, found none of: {'; '.join(tried)}")


@dataclass(frozen=True)
class Augment:
    """How training images are cut and changed.

    Attributes:
        crop_size: (H, W) in px of a random part; None for the whole image.
        scale: Smallest and largest factor by which the image is resized before the crop.
        short_sides: Without a crop: lengths in px, one of which the short side is resized to.
        hflip: Chance to mirror left and right.
        vflip: Chance to mirror up and down.
        transpose: Chance to swap rows and columns.
        jitter: Strength of the change of colours, 0 for none.
    """

    crop_size: tuple[int, int] | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    short_sides: tuple[int, ...] | None = None
    hflip: float = 0.5
    vflip: float = 0.0
    transpose: float = 0.0
    jitter: float = 0.0

    def crop(self) -> ChooseCrop:
        """Give the choice of what to read."""
        if self.crop_size:
            return RandomCrop(self.crop_size, self.scale)
        return ShortSide(self.short_sides) if self.short_sides else whole


class CocoData(InstanceData):
    """A data set in COCO format.

    Args:
        root: Folder of the data set.
        files: Where it keeps images and annotations, when that is not found by itself.
        augment: How training images are cut and changed.
        val_short_side: Length in px to which the short side of validation images, and their
            masks, are resized; None leaves them as they are.
        batch_size: Images per step and device.
        num_workers: Processes that read ahead; 0 reads in the training process.
        keep_empty: Train on images without objects, too.
        strict: Raise at the first missing or broken file or annotation instead of leaving it out.
    """

    def __init__(
        self,
        root: str,
        files: CocoFiles = CocoFiles(),
        augment: Augment = Augment(),
        val_short_side: int | None = None,
        batch_size: int = 4,
        num_workers: int = 0,
        keep_empty: bool = True,
        strict: bool = False,
    ) -> None:
        super().__init__(batch_size, num_workers)
        self.root, self.files, self.augment = Path(root), files, augment
        self.val_short_side, self.keep_empty, self.strict = val_short_side, keep_empty, strict

    @cached_property
    def train_set(self) -> CocoInstances:
        """The training images, read when first asked for."""
        a = self.augment
        return CocoInstances(
            *self.files.find(self.root, "train"),
            train_transforms(
                hflip=a.hflip,
                vflip=a.vflip,
                transpose=a.transpose,
                jitter=a.jitter,
                pad_to=a.crop_size,
            ),
            a.crop(),
            keep_empty=self.keep_empty,
            strict=self.strict,
        )

    @cached_property
    def val_set(self) -> CocoInstances:
        """The validation images, all of them."""
        return CocoInstances(
            *self.files.find(self.root, "val"),
            eval_transforms(),
            ShortSide((self.val_short_side,)) if self.val_short_side else whole,
            strict=self.strict,
        )
