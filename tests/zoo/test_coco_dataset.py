"""COCO folders: what is read is what was written, and nothing broken goes unnamed."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from tensormask_zoo.data.coco import CocoInstances
from tensormask_zoo.data.crops import Crop, ShortSide
from tensormask_zoo.data.shapes import Shapes
from tensormask_zoo.data.write_coco import write_coco

Document = dict[str, Any]
Edit = Callable[[Document], Any]

SQUARE = [[2.0, 1.0, 8.0, 1.0, 8.0, 7.0, 2.0, 7.0]]  # 6 x 6 px at (y, x) = (1, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images of 12 x 20 px: a square in the first, nothing in the second."""
    (tmp_path / "images").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "images" / "a.png")
    Image.fromarray(noise).save(tmp_path / "images" / "b.jpg")
    square = {"id": 5, "image_id": 1, "category_id": 7, "segmentation": SQUARE}
    write_json(
        tmp_path,
        {
            "images": [
                {"id": 1, "file_name": "a.png", "height": 12, "width": 20},
                {"id": 2, "file_name": "b.jpg", "height": 12, "width": 20},
            ],
            "annotations": [square],
            "categories": [{"id": 9, "name": "dog"}, {"id": 7, "name": "cat"}],
        },
    )
    return tmp_path


def write_json(folder: Path, document: Any) -> None:
    (folder / "instances.json").write_text(json.dumps(document))


def edit_json(folder: Path, edit: Edit) -> None:
    document = json.loads((folder / "instances.json").read_text())
    edit(document)
    write_json(folder, document)


def read(folder: Path, **options: Any) -> CocoInstances:
    return CocoInstances(folder / "images", folder / "instances.json", **options)


def set_segmentation(segmentation: Any) -> Edit:
    return lambda document: document["annotations"][0].update(segmentation=segmentation)


def test_a_sample_has_the_types_of_torchvision_detection(folder: Path) -> None:
    image, target = read(folder)[0]
    assert (image.shape, image.dtype) == ((3, 12, 20), torch.float32)
    assert target["boxes"].tolist() == [[2, 1, 8, 7]]
    assert target["labels"].tolist() == [1]
    assert (target["masks"].shape, target["masks"].dtype) == ((1, 12, 20), torch.uint8)
    assert (target["image_id"], target["area"].tolist()) == (1, [36])
    assert target["iscrowd"].tolist() == [0]


def test_pixels_are_those_of_the_file(folder: Path) -> None:
    pixels = np.asarray(Image.open(folder / "images" / "a.png"))
    image = read(folder)[0][0]
    assert np.array_equal((image * 255).round().permute(1, 2, 0).numpy(), pixels)


def test_an_image_without_objects_is_an_empty_sample(folder: Path) -> None:
    target = read(folder)[1][1]
    assert target["masks"].shape == (0, 12, 20)
    assert target["boxes"].shape == (0, 4)
    assert target["labels"].dtype == torch.int64


def test_images_without_objects_can_be_left_out(folder: Path) -> None:
    dataset = read(folder, keep_empty=False)
    assert len(dataset) == 1
    assert dataset.skipped == {}


def test_labels_are_contiguous_and_lead_back_to_categories(folder: Path) -> None:
    dataset = read(folder)
    assert dataset.class_names == ("cat", "dog")
    assert dataset.category_ids == (7, 9)
    assert dataset.num_classes == 2


@pytest.mark.parametrize("form", ["polygon", "numbers", "text"])
def test_every_form_of_segmentation_gives_the_same_mask(folder: Path, form: str) -> None:
    mask = np.zeros((12, 20), np.uint8, order="F")
    mask[1:7, 2:8] = 1
    rle = coco_mask.encode(mask)
    runs = [25] + [6, 6] * 5 + [6, 240 - 25 - 66]
    counts = {"numbers": runs, "text": rle["counts"].decode()}
    if form != "polygon":
        edit_json(folder, set_segmentation({"size": [12, 20], "counts": counts[form]}))
    assert np.array_equal(read(folder)[0][1]["masks"][0].numpy(), mask)


def test_crowds_are_kept_and_marked(folder: Path) -> None:
    edit_json(folder, lambda d: d["annotations"][0].update(iscrowd=1))
    assert read(folder)[0][1]["iscrowd"].tolist() == [1]


def test_written_shapes_are_read_back(tmp_path: Path) -> None:
    shapes = Shapes(length=5, seed=3)
    path = write_coco(shapes, tmp_path)
    dataset = CocoInstances(tmp_path / "images", path, strict=True)
    assert dataset.class_names == shapes.class_names
    for (image, target), (expected_image, expected) in zip(
        [dataset[i] for i in range(5)], [shapes[i] for i in range(5)], strict=True
    ):
        torch.testing.assert_close(image, expected_image, rtol=0, atol=0.51 / 255)
        torch.testing.assert_close(target, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([[1, 2, 3, 4]], "polygon with fewer than 3 points"),
        ([[1, 2, 3, 4, 5, 6, 7]], "polygon with an odd number of coordinates"),
        ([[1, 2, 3, float("nan"), 5, 6]], "polygon with a coordinate that is not finite"),
        ([[1, 2, "3", 4, 5, 6]], "polygon that is no list of numbers"),
        ([], "no segmentation"),
        (None, "no segmentation"),
        ("mask.png", "segmentation that is neither polygons nor RLE"),
        ({"size": [20, 12], "counts": [240]}, "RLE of another size than its image"),
        ({"size": [12, 20], "counts": [10, 20]}, "RLE that is broken or does not fill the image"),
        ({"size": [12, 20], "counts": ["x"]}, "RLE that is broken or does not fill the image"),
        ({"size": [12, 20], "counts": "zz"}, "RLE that is broken or does not fill the image"),
        ({"size": [12, 20]}, "RLE that is broken or does not fill the image"),
        ({"size": [12, 20], "counts": [240]}, "empty mask"),
    ],
)
def test_broken_annotations_are_counted_and_left_out(
    folder: Path, segmentation: Any, reason: str
) -> None:
    edit_json(folder, set_segmentation(segmentation))
    with pytest.warns(UserWarning, match=rf"instances.json: skipped 1 x {reason} \(annotation 5\)"):
        dataset = read(folder)
    assert dataset.skipped == {reason: ["annotation 5"]}
    assert dataset[0][1]["masks"].shape == (0, 12, 20)


@pytest.mark.parametrize(
    ("polygon", "reason"),
    [
        ([30.0, 3.0, 38.0, 3.0, 38.0, 9.0], "empty mask"),  # right of the image
        ([2.0, 3.0, 2.0, 3.0, 2.0, 3.0], "empty mask"),  # a point
        ([0.0, 0.0, 1e12, 0.0, 5.0, 5.0], "polygon that cannot be drawn"),
    ],
)
def test_what_shows_only_on_drawing_is_counted_then_and_once(
    folder: Path, polygon: list[float], reason: str
) -> None:
    edit_json(folder, set_segmentation([polygon]))
    dataset = read(folder)
    with pytest.warns(UserWarning, match=reason):
        assert len(dataset[0][1]["labels"]) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset[0]
    assert dataset.skipped == {reason: ["annotation 5"]}


@pytest.mark.parametrize("key", ["image_id", "category_id"])
def test_annotations_of_unknown_things_are_counted(folder: Path, key: str) -> None:
    edit_json(folder, lambda d: d["annotations"][0].update({key: 99}))
    with pytest.warns(UserWarning, match="annotation of an unknown"):
        assert sum(map(len, read(folder).skipped.values())) == 1


def test_a_missing_image_is_counted_and_left_out(folder: Path) -> None:
    (folder / "images" / "b.jpg").unlink()
    with pytest.warns(UserWarning, match=r"1 x missing image \(b.jpg\)"):
        dataset = read(folder)
    assert len(dataset) == 1


@pytest.mark.parametrize("name", ["a.png", "b.jpg"])
def test_a_truncated_image_is_found_at_construction(folder: Path, name: str) -> None:
    path = folder / "images" / name
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.warns(UserWarning, match=rf"truncated or unreadable image \({name}\)"):
        assert len(read(folder)) == 1


def test_a_file_that_ends_oddly_but_can_be_read_is_kept(folder: Path) -> None:
    with (folder / "images" / "b.jpg").open("ab") as file:
        file.write(b"\0" * 100)
    assert read(folder).skipped == {}


def test_a_picture_damaged_in_the_middle_is_replaced_by_the_next(folder: Path) -> None:
    dataset = read(folder)
    path = folder / "images" / "b.jpg"
    path.write_bytes(b"\xff" * 50 + path.read_bytes()[-60:])
    with pytest.warns(UserWarning, match="truncated or unreadable image"):
        assert dataset[1][1]["image_id"] == 1
    assert dataset.skipped == {"truncated or unreadable image": ["b.jpg"]}


def test_a_picture_of_another_size_than_stated_is_replaced(folder: Path) -> None:
    edit_json(folder, lambda d: d["images"][1].update(height=6))
    dataset = read(folder, crop=lambda height, width: Crop((slice(0, 4), slice(0, 4)), (4, 4)))
    with pytest.warns(UserWarning, match="another size"):
        assert dataset[1][1]["image_id"] == 1


def test_no_readable_image_is_an_error_that_names_the_folder(folder: Path) -> None:
    dataset = read(folder)
    for path in (folder / "images").iterdir():
        path.write_bytes(b"nothing")
    with (
        pytest.raises(OSError, match="images: no image can be read"),
        pytest.warns(match="x trunc"),
    ):
        dataset[0]


def test_an_empty_data_set_is_an_error_that_names_the_file(folder: Path) -> None:
    for path in (folder / "images").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="no usable image"), pytest.warns(match="2 x missing"):
        read(folder)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (set_segmentation([[1, 2, 3, 4]]), "fewer than 3 points: annotation 5"),
        (lambda d: d["images"][0].update(file_name="x.png"), "missing image: x.png"),
        (lambda d: d["annotations"][0].update(category_id=99), "unknown category: annotation 5"),
    ],
)
def test_strict_raises_and_names_the_culprit(folder: Path, edit: Edit, message: str) -> None:
    edit_json(folder, edit)
    with pytest.raises(ValueError, match=message):
        read(folder, strict=True)


def test_a_missing_annotation_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected a COCO annotation file at .*none\.json"):
        CocoInstances(tmp_path, tmp_path / "none.json")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d.pop("categories"), "a list 'categories'"),
        (lambda d: d.update(images={}), "a list 'images'"),
        (lambda d: d["images"][1].pop("height"), r"\['height'\] in images 2"),
        (lambda d: d["annotations"][0].pop("category_id"), r"\['category_id'\] in annotations 5"),
        (lambda d: d["categories"][0].pop("id"), r"\['id'\] in categories number 0"),
        (lambda d: d["images"][1].update(id=1), r"repeated ids: \[1\]"),
    ],
)
def test_missing_keys_are_named(folder: Path, edit: Edit, message: str) -> None:
    edit_json(folder, edit)
    with pytest.raises(ValueError, match=message):
        read(folder)


@pytest.mark.parametrize("content", ["{", "[1, 2]", "\xff"])
def test_a_file_that_is_no_coco_json_is_named(folder: Path, content: str) -> None:
    (folder / "instances.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=r"instances\.json: expected"):
        read(folder)


def test_reading_a_crop_equals_reading_all_and_cropping(tmp_path: Path) -> None:
    path = write_coco(Shapes(length=4, seed=1), tmp_path)
    rows, columns = slice(10, 74), slice(40, 120)
    full = CocoInstances(tmp_path / "images", path)
    part = CocoInstances(
        tmp_path / "images", path, crop=lambda height, width: Crop((rows, columns), (64, 80))
    )
    for (image, target), (all_image, whole) in zip(
        [part[i] for i in range(4)], [full[i] for i in range(4)], strict=True
    ):
        masks = whole["masks"][:, rows, columns]
        seen = masks.flatten(1).sum(1) > 0
        assert torch.equal(image, all_image[:, rows, columns])
        assert torch.equal(target["masks"], masks[seen])
        assert torch.equal(target["labels"], whole["labels"][seen])


def test_resizing_keeps_masks_in_register_with_the_picture(folder: Path) -> None:
    target = read(folder, crop=ShortSide((24,)))[0][1]
    assert target["masks"].shape == (1, 24, 40)
    assert target["boxes"].tolist() == [[4, 2, 16, 14]]


def test_shrinking_samples_masks_at_pixel_centres(folder: Path) -> None:
    target = read(folder, crop=ShortSide((4,)))[0][1]  # reads rows 1, 4, 7, 10
    assert target["boxes"].tolist() == [[1, 0, 3, 2]]


def test_objects_that_resizing_wipes_out_are_dropped(folder: Path) -> None:
    edit_json(folder, set_segmentation([[5.0, 5.0, 6.0, 5.0, 6.0, 6.0, 5.0, 6.0]]))
    assert len(read(folder)[0][1]["labels"]) == 1
    assert len(read(folder, crop=ShortSide((3,)))[0][1]["labels"]) == 0


@pytest.mark.parametrize(
    ("split", "images", "objects"), [("train", 532, 23162), ("val", 132, 5824)]
)
def test_the_nuclei_are_all_there(shared_dir: Path, split: str, images: int, objects: int) -> None:
    root = shared_dir / "data" / "nuclei"
    path = root / "annotations" / f"instances_{split}.json"
    dataset = CocoInstances(root / "images", path, strict=True)
    assert len(dataset) == images
    assert sum(map(len, dataset.annotations.values())) == objects
    assert dataset.class_names == ("nucleus",)


@pytest.mark.parametrize(("split", "objects"), [("train2017", 470), ("val2017", 382)])
def test_the_coco_images_are_all_there(shared_dir: Path, split: str, objects: int) -> None:
    root = shared_dir / "data" / "coco-tiny"
    path = root / "annotations" / f"instances_{split}.json"
    dataset = CocoInstances(root / split, path, strict=True)
    targets = [dataset[i][1] for i in range(len(dataset))]
    assert (len(dataset), dataset.num_classes) == (50, 80)
    assert sum(len(t["labels"]) for t in targets) == objects
    assert sum(int(t["iscrowd"].sum()) for t in targets) == 5


def test_a_crop_of_the_most_crowded_image_equals_the_crop_of_all(shared_dir: Path) -> None:
    root = shared_dir / "data" / "nuclei"
    dataset = CocoInstances(root / "images", root / "annotations" / "instances_train.json")
    counts = [len(dataset.annotations[image["id"]]) for image in dataset.images]
    index, region = int(np.argmax(counts)), (slice(50, 306), slice(30, 286))
    masks = dataset[index][1]["masks"][(slice(None), *region)]
    dataset.crop = lambda height, width: Crop(region, (256, 256))
    assert torch.equal(dataset[index][1]["masks"], masks[masks.flatten(1).sum(1) > 0])
