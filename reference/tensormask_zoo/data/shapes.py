"""Generated images: overlapping textured shapes of many scales on a textured ground."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset
from torchvision import tv_tensors

from tensormask_zoo.data.sample import Sample, make_target
from tensormask_zoo.data.silhouettes import SILHOUETTES, Grid
from tensormask_zoo.data.textures import (
    Texture,
    blobs,
    gradient,
    grain,
    plain,
    random_paint,
    stripes,
)

ASPECT = (0.7, 1.0)  # short over long axis: a tilted shape stays what it is at 10 px
MIN_VISIBLE_PX = 16  # smaller remnants carry no outline at a mask cell of 2 px
MIN_VISIBLE_SHARE = 0.4  # what is hidden more than this cannot be told apart from other shapes
GRAIN = 0.04  # amplitude of the noise laid over the finished image

GROUND_CONTRAST = 0.1  # of the ground's texture: shapes stand out from it

# What the shapes of a class are made of: as with real objects, a part tells much of the whole.
MATERIALS: dict[str, Texture] = {
    "disc": gradient,
    "rectangle": stripes,
    "triangle": grain,
    "star": plain,
    "ring": blobs,
    "cross": plain,
}

PLACES = 3  # tried for each shape; the emptiest is taken, so that most shapes stay recognisable

Region = tuple[slice, slice]


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape before it is drawn: class name, centre and longest extent in px, tilt in rad."""

    name: str
    centre_y: float
    centre_x: float
    size_px: float
    aspect: float
    tilt: float


class Shapes(Dataset[Sample]):
    """Images of overlapping textured shapes, made when asked for.

    Each class has a silhouette and a material of its own; colours, sizes and poses are random.
    Image `i` depends on `(seed, i)` only, so that runs repeat, workers need no coordination and a
    long data set costs no memory. Later shapes hide earlier ones; masks are the visible parts.

    Args:
        length: Number of images.
        seed: Another seed gives other images.
        image_size: (H, W) in px.
        objects: Fewest and most shapes drawn per image. Shapes that others hide (visible part
            under 16 px or 40 %) are left out of the target.
        size_px: Smallest and largest diameter of the circle around a shape, log-uniform; shapes
            lie inside the image as far as they fit.
        classes: Names out of `SILHOUETTES`; label k stands for `classes[k - 1]`.

    Raises:
        ValueError: An unknown class, or a range that is empty or not positive.

    Example:
        >>> image, target = Shapes(length=10, seed=3)[0]
        >>> tuple(image.shape), target["masks"].shape[1:] == image.shape[1:]
        ((3, 128, 128), True)
    """

    def __init__(
        self,
        length: int,
        seed: int = 0,
        image_size: tuple[int, int] = (128, 128),
        objects: tuple[int, int] = (1, 6),
        size_px: tuple[float, float] = (10.0, 100.0),
        classes: tuple[str, ...] = ("disc", "rectangle", "triangle", "star", "ring"),
    ) -> None:
        _check_classes(classes)
        _check_range("image_size", (1, min(image_size)))
        _check_range("objects", objects, lowest=0)
        _check_range("size_px", size_px)
        self.length, self.seed, self.image_size = length, seed, image_size
        self.objects, self.size_px = objects, size_px
        self.class_names = tuple(classes)

    @property
    def num_classes(self) -> int:
        """Number of classes, without background."""
        return len(self.class_names)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.length:
            raise IndexError(f"expected an index in [0, {self.length}), got {index}")
        rng = np.random.default_rng((self.seed, index))
        shapes = self._choose(rng)
        image, owner, drawn_px = paint(rng, shapes, self.image_size)
        masks, labels = self._visible(shapes, owner, drawn_px)
        return tv_tensors.Image(torch.from_numpy(image)), make_target(masks, labels, image_id=index)

    def _choose(self, rng: np.random.Generator) -> list[Shape]:
        """Draw the number of shapes and each shape's form and place, farthest first."""
        count = int(rng.integers(self.objects[0], self.objects[1] + 1))
        shapes: list[Shape] = []
        for _ in range(count):
            shape = self._choose_one(rng)
            moved = [self._move(rng, shape) for _ in range(PLACES - 1)]
            shapes.append(min([shape, *moved], key=lambda one: _overlap_px(one, shapes)))
        return shapes

    def _choose_one(self, rng: np.random.Generator) -> Shape:
        """Draw the form and place of one shape."""
        size_px = math.exp(rng.uniform(*np.log(self.size_px)))
        name = self.class_names[rng.integers(self.num_classes)]
        tilt = rng.uniform(0, 2 * math.pi)
        return self._move(rng, Shape(name, 0, 0, size_px, rng.uniform(*ASPECT), tilt))

    def _move(self, rng: np.random.Generator, shape: Shape) -> Shape:
        """Draw another place for a shape."""
        y, x = (_place(rng, side, shape.size_px) for side in self.image_size)
        return replace(shape, centre_y=y, centre_x=x)

    def _visible(
        self, shapes: list[Shape], owner: NDArray[np.uint8], drawn_px: list[int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Keep the shapes of which enough is seen: masks (N, H, W) and labels (N,)."""
        seen_px = np.bincount(owner.ravel(), minlength=len(shapes) + 1)[1:]
        enough = np.maximum(MIN_VISIBLE_PX, MIN_VISIBLE_SHARE * np.asarray(drawn_px))
        kept = np.flatnonzero(seen_px >= enough)
        masks = owner == (kept + 1).astype(np.uint8)[:, None, None]
        labels = [self.class_names.index(shapes[k].name) + 1 for k in kept]
        return masks.view(np.uint8), np.asarray(labels, dtype=np.int64)


def paint(
    rng: np.random.Generator, shapes: list[Shape], image_size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.uint8], list[int]]:
    """Paint shapes over a ground, each hiding what was there before.

    Args:
        rng: Source of textures and colours.
        shapes: At most 255 shapes, farthest first.
        image_size: (H, W) in px.

    Returns:
        The image (3, H, W) float32 in [0, 1]; the owner of each pixel (H, W), 0 for the ground
        and k + 1 for `shapes[k]`; the number of pixels of each shape before others hid it.
    """
    height, width = image_size
    image = random_paint(rng, height, width, contrast=GROUND_CONTRAST)
    owner = np.zeros(image_size, dtype=np.uint8)
    drawn_px = []
    for number, shape in enumerate(shapes, start=1):
        (rows, columns), inside = rasterise(shape, image_size)
        colours = random_paint(rng, *inside.shape, texture=MATERIALS[shape.name])
        np.copyto(image[:, rows, columns], colours, where=inside)
        np.copyto(owner[rows, columns], np.uint8(number), where=inside)
        drawn_px.append(int(np.count_nonzero(inside)))
    image += GRAIN * (grain(rng, height, width) - 0.5)
    return np.clip(image, 0, 1, out=image), owner, drawn_px


def rasterise(shape: Shape, image_size: tuple[int, int]) -> tuple[Region, NDArray[np.bool_]]:
    """Find the pixels of one shape, testing only those of its bounding square.

    Args:
        shape: What to draw; parts outside the image are cut off.
        image_size: (H, W) in px; pixel (y, x) is tested at its centre (y + 0.5, x + 0.5).

    Returns:
        The region of the image (rows, columns) and, of its extent, where the shape is.

    Example:
        >>> region, inside = rasterise(Shape("disc", 4, 4, 4, 1, 0), (8, 8))
        >>> region, int(inside.sum())
        ((slice(2, 6, None), slice(2, 6, None)), 12)
    """
    radius = shape.size_px / 2
    rows = _span(shape.centre_y, radius, image_size[0])
    columns = _span(shape.centre_x, radius, image_size[1])
    y = _centres(rows, shape.centre_y)[:, None]
    x = _centres(columns, shape.centre_x)
    c, s = math.cos(shape.tilt) / radius, math.sin(shape.tilt) / radius
    p: Grid = x * c + y * s
    q: Grid = (y * c - x * s) / shape.aspect
    return (rows, columns), SILHOUETTES[shape.name](p, q)


def _place(rng: np.random.Generator, side: int, size_px: float) -> float:
    """Choose a centre such that a shape lies inside the image, or the middle if it cannot."""
    margin = min(size_px, side) / 2
    return float(rng.uniform(margin, side - margin))


def _overlap_px(shape: Shape, others: list[Shape]) -> float:
    """Sum how far the circle around a shape reaches into those around others."""
    return sum(
        max(
            0.0,
            (shape.size_px + other.size_px) / 2
            - math.hypot(shape.centre_y - other.centre_y, shape.centre_x - other.centre_x),
        )
        for other in others
    )


def _span(centre: float, radius: float, side: int) -> slice:
    """Give the pixels of one axis that a shape can reach."""
    return slice(max(math.floor(centre - radius), 0), min(math.ceil(centre + radius), side))


def _centres(span: slice, origin: float) -> NDArray[np.float32]:
    """Give the centres of the pixels of a span, relative to a point."""
    return np.arange(span.start + 0.5 - origin, span.stop - origin, dtype=np.float32)


def _check_classes(classes: tuple[str, ...]) -> None:
    """Refuse names that have no silhouette."""
    unknown = [name for name in classes if name not in SILHOUETTES]
    if unknown or not classes:
        raise ValueError(f"expected classes out of {sorted(SILHOUETTES)}, got {list(classes)}")


def _check_range(name: str, limits: tuple[float, float], lowest: float = 1) -> None:
    """Refuse a range whose ends are swapped or too small."""
    if not lowest <= limits[0] <= limits[1]:
        raise ValueError(f"expected {lowest} <= low <= high for {name}, got {limits}")
