"""Polygons and the three forms of a COCO segmentation."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from numpy.testing import assert_array_equal

from tensormask_core.errors import LayoutError
from tensormask_core.masks import annotation_to_rle, decode, encode, polygons_to_mask

pytest.importorskip("pycocotools.mask")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # pycocotools, numpy 2

LEFT, RIGHT = [1, 1, 4, 1, 4, 5, 1, 5], [6, 2, 9, 2, 9, 4, 6, 4]

Array = npt.NDArray[Any]


def rectangles() -> Array:
    """The mask of LEFT and RIGHT in an 8 x 10 image."""
    mask = np.zeros((8, 10), dtype=bool)
    mask[1:5, 1:4] = mask[2:4, 6:9] = True
    return mask


def random_masks(count: int, height: int, width: int) -> Array:
    return np.random.default_rng(0).random((count, height, width)) > 0.4


def test_polygons_are_united() -> None:
    assert_array_equal(polygons_to_mask([LEFT, RIGHT], (8, 10)), rectangles())


def test_polygons_may_leave_the_image() -> None:
    assert polygons_to_mask([[-50, -50, 70, -50, 70, 60, -50, 60]], (3, 5)).all()


@pytest.mark.parametrize(
    ("polygon", "message"),
    [
        ([1, 2, 3, 4], r"polygon 1 has 2 points, expected at least 3: \[1.0, 2.0, 3.0, 4.0\]"),
        ([], r"polygon 1 has 0 points"),
        ([1, 2, 3, 4, 5, 6, 7], r"polygon 1 has an odd number of coordinates \(7\): \[1.0,"),
        ([0, 0, 1, 0, float("nan"), 1], r"polygon 1 .* not finite: .*nan"),
        ([0, 0, 1, 0, float("inf"), 1], r"polygon 1 .* not finite: .*inf"),
        ([0, 0, 1e12, 0, 1, 1], r"polygon 1 has coordinates beyond 1048576 px"),
        ([[0, 0], [1, 0], [1, 1]], r"polygon 1 is no flat list"),
        ([0, 0, "a", 0, 1, 1], r"polygon 1 is no flat list of numbers: .*'a'"),
        ([[0, 0], [1]], r"polygon 1 is no flat list of numbers"),
    ],
)
def test_broken_polygons_are_named(polygon: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        polygons_to_mask([LEFT, polygon], (8, 10))


def test_no_polygons() -> None:
    with pytest.raises(ValueError, match="at least one polygon, got none"):
        annotation_to_rle([], (8, 10))


def test_annotation_of_polygons() -> None:
    assert annotation_to_rle([LEFT, RIGHT], (8, 10)) == encode(rectangles()[None])[0]


def test_annotation_of_uncompressed_runs() -> None:
    mask = rectangles().T.reshape(-1)
    starts = np.flatnonzero(np.diff(mask, prepend=False))
    counts = np.diff(starts, prepend=0, append=mask.size).tolist()
    found = annotation_to_rle({"size": [8, 10], "counts": counts}, (8, 10))
    assert_array_equal(decode([found])[0], rectangles())


@pytest.mark.parametrize("mask", [*random_masks(3, 40, 60), np.zeros((40, 60)), np.ones((40, 60))])
def test_annotation_of_compressed_runs(mask: Array) -> None:
    (rle,) = encode(mask[None])
    assert annotation_to_rle(rle, (40, 60)) == rle
    text = json.loads(json.dumps({"size": rle["size"], "counts": rle["counts"].decode()}))
    assert annotation_to_rle(text, (40, 60)) == rle


def test_annotation_of_long_runs() -> None:
    masks = np.zeros((2, 1000, 2000), dtype=bool)
    masks[0, 500:, 1000:] = masks[1, :, 700:] = True
    for rle in encode(masks):
        assert annotation_to_rle(rle, (1000, 2000)) == rle


def test_truncated_counts_are_found() -> None:
    (rle,) = encode(random_masks(1, 40, 60))
    for end in (1, 10, len(rle["counts"]) - 1):
        broken = {"size": [40, 60], "counts": rle["counts"][:end].decode()}
        with pytest.raises(ValueError, match=r"sum up to 40 x 60 = 2400 px, got -?\d+ from '"):
            annotation_to_rle(broken, (40, 60))


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [2, 2], "counts": [1, 2]}, r"2 x 2 = 4 px, got 3 from \[1, 2\]"),
        ({"size": [2, 2], "counts": [6, -2]}, "got runs that are no counts"),
        ({"size": [2, 2], "counts": [2.5, 1.5]}, "got runs that are no counts"),
        ({"size": [2, 2], "counts": None}, "list, str or bytes, got None"),
        ({"size": [2, 2], "counts": "2é"}, "px, got"),
        ({"size": [2, 2]}, "RLE with 'size' and 'counts', got {'size'"),
        (None, "got None"),
        ("22", "got '22'"),
    ],
)
def test_broken_annotations_are_named(segmentation: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        annotation_to_rle(segmentation, (2, 2))


@pytest.mark.parametrize("size", [[3, 2], None, 4])
def test_size_must_be_the_image(size: Any) -> None:
    with pytest.raises(LayoutError, match=r"RLE of size \[2, 2\], got"):
        annotation_to_rle({"size": size, "counts": "22"}, (2, 2))
