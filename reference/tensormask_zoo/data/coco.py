"""Data sets in COCO format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as v2

from tensormask_zoo.data.coco_json import Entry, name_of, read_coco_json
from tensormask_zoo.data.crops import ChooseCrop, Crop, whole
from tensormask_zoo.data.picture import PictureError, check_picture, read_picture
from tensormask_zoo.data.sample import Sample, make_target
from tensormask_zoo.data.segmentation import draw
from tensormask_zoo.data.skipped import Skipped

Transforms = Callable[[tv_tensors.Image, dict[str, object]], Sample]


class CocoInstances(Dataset[Sample]):
    """Images and instances of a data set in COCO format.

    What cannot be used is left out, counted in `skipped` and reported by one warning: images that
    are missing, truncated or unreadable, annotations whose polygons or run lengths are broken,
    that have no area, or whose image or category is unknown. Most is found at construction. What
    shows only on reading (a picture damaged in the middle, a mask that turns out empty) is added
    to `skipped` then; the next readable image takes the place of the damaged one.

    Args:
        images: Folder of the images.
        annotations: The JSON: polygons, run lengths as numbers or as text, crowds.
        transforms: Takes and returns (image, target); see `tensormask_zoo.data.transforms`.
        crop: Chooses the part to read and its size, such as `RandomCrop`; masks are decoded there
            only. By default the whole image as it is.
        keep_empty: Keep images without a usable annotation.
        strict: Raise instead of leaving out.

    Attributes:
        skipped: Reason to the files or annotations left out for it. Each worker of a data loader
            counts for itself what it finds on reading.
        class_names: Names of the labels 1..K, by rising category id.
        category_ids: `category_ids[label - 1]` is the category of the JSON, to write results.

    Raises:
        FileNotFoundError: No annotation file.
        ValueError: Not COCO JSON, or keys missing, or no image is left; with `strict`, anything
            that would be left out. The message names the file.
    """

    def __init__(
        self,
        images: str | Path,
        annotations: str | Path,
        transforms: Transforms | None = None,
        crop: ChooseCrop = whole,
        *,
        keep_empty: bool = True,
        strict: bool = False,
    ) -> None:
        self.folder, self.transforms, self.crop = Path(images), transforms, crop
        self._skipped = Skipped(str(annotations), strict=strict)
        content = read_coco_json(Path(annotations), self._skipped)
        self.annotations = content.annotations
        self.images = [image for image in content.images if self._usable(image, keep_empty)]
        self.class_names = tuple(str(category["name"]) for category in content.categories)
        self.category_ids = tuple(int(category["id"]) for category in content.categories)
        self._skipped.warn()
        if not self.images:
            raise ValueError(f"{annotations}: no usable image in {self.folder}: {self.skipped}")

    @property
    def num_classes(self) -> int:
        """Number of classes, without background."""
        return len(self.class_names)

    @property
    def skipped(self) -> dict[str, list[str]]:
        """What was left out so far: reason to names."""
        return self._skipped.names

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"expected an index in [0, {len(self)}), got {index}")
        for step in range(len(self)):
            entry = self.images[(index + step) % len(self)]
            crop = self.crop(entry["height"], entry["width"])
            try:
                image = self._read(entry, crop)
            except PictureError as error:
                self._skip(str(error), entry["file_name"])
            else:
                return self._sample(image, entry, crop)
        raise OSError(f"{self.folder}: no image can be read: {self.skipped}")

    def _usable(self, image: Entry, keep_empty: bool) -> bool:
        """Count an image that cannot be used; leave out one without objects if so wanted."""
        try:
            check_picture(self.folder / image["file_name"])
        except PictureError as error:
            self._skipped.add(str(error), image["file_name"])
            return False
        return keep_empty or bool(self.annotations[image["id"]])

    def _read(self, entry: Entry, crop: Crop) -> tv_tensors.Image:
        """Read and resize the part of the picture."""
        path, size = self.folder / entry["file_name"], (entry["height"], entry["width"])
        image = read_picture(path, crop.region, size)
        if image.shape[1:] == crop.out_size:
            return image
        return tv_tensors.Image(v2.resize(image, list(crop.out_size), antialias=True).clamp(0, 1))

    def _sample(self, image: tv_tensors.Image, entry: Entry, crop: Crop) -> Sample:
        """Add the objects that the crop shows, and transform."""
        masks, annotations = self._masks(entry, crop)
        labels = [self.category_ids.index(a["category_id"]) + 1 for a in annotations]
        crowd = [a.get("iscrowd", 0) for a in annotations]
        target = make_target(
            masks,
            np.asarray(labels, dtype=np.int64),
            image_id=entry["id"],
            iscrowd=np.asarray(crowd, dtype=np.int64),
        )
        return self.transforms(image, target) if self.transforms else (image, target)

    def _masks(self, entry: Entry, crop: Crop) -> tuple[NDArray[np.uint8], list[Entry]]:
        """Decode the masks (N, H, W) that have a pixel in the crop, and list whose they are."""
        size, masks, seen = (entry["height"], entry["width"]), [], []
        for annotation in self.annotations[entry["id"]]:
            try:
                mask = draw(annotation["segmentation"], size, crop.region)
            except ValueError as error:
                self._skip(str(error), name_of(annotation))
                continue
            mask = _resize_mask(mask, crop.out_size)
            if mask.any():
                masks.append(mask)
                seen.append(annotation)
        return (np.stack(masks) if masks else np.zeros((0, *crop.out_size), np.uint8)), seen

    def _skip(self, reason: str, name: str) -> None:
        """Count and report what shows only on reading, once."""
        if name not in self.skipped.get(reason, ()):
            self._skipped.add(reason, name)
            self._skipped.warn()


def _resize_mask(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize (h, w) to (H, W) by the nearest pixel centre, in register with the picture."""
    if mask.shape == size:
        return mask
    resized = interpolate(torch.from_numpy(mask)[None, None], size, mode="nearest-exact")
    return np.asarray(resized[0, 0].numpy())
