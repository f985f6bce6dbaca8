"""Generated images: the same again for the same seed, and targets that fit the picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from tensormask_zoo.data.sample import Target
from tensormask_zoo.data.shapes import GRAIN, Shape, Shapes, paint, rasterise
from tensormask_zoo.data.silhouettes import SILHOUETTES
from tensormask_zoo.data.textures import TEXTURES, Texture, random_paint
from tensormask_zoo.data.write_coco import write_coco


def targets(dataset: Shapes, count: int = 60) -> list[Target]:
    return [dataset[i][1] for i in range(count)]


def test_the_same_seed_and_index_give_the_same_sample() -> None:
    first, second = Shapes(length=9, seed=5)[7], Shapes(length=8, seed=5)[7]
    torch.testing.assert_close(first[0], second[0], rtol=0, atol=0)
    torch.testing.assert_close(first[1], second[1], rtol=0, atol=0)


@pytest.mark.parametrize(("seed", "index"), [(5, 8), (6, 7)])
def test_another_seed_or_index_gives_another_image(seed: int, index: int) -> None:
    image = Shapes(length=9, seed=5)[7][0]
    assert not torch.equal(image, Shapes(length=9, seed=seed)[index][0])


def test_the_sample_has_the_types_of_torchvision_detection() -> None:
    image, target = Shapes(length=3, image_size=(64, 96))[1]
    count = len(target["labels"])
    assert (image.shape, image.dtype) == ((3, 64, 96), torch.float32)
    assert (target["boxes"].shape, target["boxes"].dtype) == ((count, 4), torch.float32)
    assert (target["masks"].shape, target["masks"].dtype) == ((count, 64, 96), torch.uint8)
    assert target["labels"].dtype == target["iscrowd"].dtype == torch.int64
    assert target["image_id"] == 1


def test_image_values_lie_in_the_unit_range() -> None:
    images = torch.stack([Shapes(length=20, seed=2)[i][0] for i in range(20)])
    assert 0 <= images.min() < 0.1
    assert 0.9 < images.max() <= 1


def test_boxes_enclose_the_masks_tightly() -> None:
    for target in targets(Shapes(length=60)):
        for mask, box, area in zip(target["masks"], target["boxes"], target["area"], strict=True):
            y, x = np.nonzero(mask.numpy())
            assert box.tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
            assert area == len(y)


def test_masks_of_one_image_do_not_overlap() -> None:
    assert all(t["masks"].sum(0).max() <= 1 for t in targets(Shapes(length=60, objects=(2, 6))))


def test_a_later_shape_hides_an_earlier_one() -> None:
    far, near = Shape("disc", 16, 16, 20, 1, 0), Shape("rectangle", 16, 22, 16, 1, 0)
    _, owner, drawn_px = paint(np.random.default_rng(0), [far, near], (32, 32))
    assert owner[16, 22] == 2
    assert (owner == 2).sum() == drawn_px[1]
    assert 0 < (owner == 1).sum() < drawn_px[0]


def test_a_shape_that_is_nearly_hidden_is_not_asked_for() -> None:
    dataset = Shapes(length=1, classes=("disc",))
    shapes = [Shape("disc", 16, 16, 20, 1, 0), Shape("disc", 16, 16.5, 20, 1, 0)]
    _, owner, drawn_px = paint(np.random.default_rng(0), shapes, (32, 32))
    masks, labels = dataset._visible(shapes, owner, drawn_px)
    assert len(masks) == len(labels) == 1
    assert masks[0].sum() == drawn_px[1]


def test_the_picture_changes_exactly_where_the_shape_is() -> None:
    shape = Shape("star", 16, 16, 20, 0.8, 0.3)
    empty, _, _ = paint(np.random.default_rng(4), [], (32, 32))
    image, owner, _ = paint(np.random.default_rng(4), [shape], (32, 32))
    flat = np.abs(image - empty).max(axis=0)
    assert flat[owner == 0].max() <= GRAIN < np.median(flat[owner == 1])


def test_every_class_occurs_about_equally_often() -> None:
    dataset = Shapes(length=400, image_size=(48, 48), size_px=(10, 20))
    labels = torch.cat([t["labels"] for t in targets(dataset, 400)])
    share = torch.bincount(labels, minlength=6)[1:] / len(labels)
    assert dataset.num_classes == 5
    assert share.min() > 0.14
    assert share.max() < 0.26


def test_labels_follow_the_order_of_the_class_names() -> None:
    dataset = Shapes(length=1, classes=("cross", "disc"))
    shapes = [Shape("disc", 8, 8, 10, 1, 0), Shape("cross", 24, 24, 10, 1, 0)]
    _, owner, drawn_px = paint(np.random.default_rng(0), shapes, (32, 32))
    assert dataset._visible(shapes, owner, drawn_px)[1].tolist() == [2, 1]


def test_sizes_span_the_asked_range_evenly_in_logarithm() -> None:
    dataset = Shapes(length=1, size_px=(10, 100))
    rng = np.random.default_rng(0)
    size_px = np.array([dataset._choose_one(rng).size_px for _ in range(2000)])
    assert size_px.min() >= 10
    assert size_px.max() <= 100
    assert np.median(size_px) == pytest.approx(10 * 10**0.5, rel=0.1)


def test_shapes_that_fit_lie_inside_the_image() -> None:
    dataset = Shapes(length=1, size_px=(10, 60))
    for shape in dataset._choose(np.random.default_rng(1)) * 20:
        assert shape.size_px / 2 <= min(shape.centre_y, shape.centre_x)
        assert max(shape.centre_y, shape.centre_x) <= 128 - shape.size_px / 2


def test_the_number_of_shapes_stays_in_its_range() -> None:
    dataset = Shapes(length=1, objects=(2, 3))
    counts = {len(dataset._choose(np.random.default_rng(s))) for s in range(30)}
    assert counts == {2, 3}


def test_an_image_without_shapes_has_an_empty_target() -> None:
    target = Shapes(length=1, objects=(0, 0))[0][1]
    assert target["boxes"].shape == (0, 4)
    assert target["masks"].shape == (0, 128, 128)
    assert target["labels"].shape == target["area"].shape == target["iscrowd"].shape == (0,)


@pytest.mark.parametrize(
    ("name", "area"),
    [
        ("disc", 3.1416),
        ("rectangle", 2.0),
        ("triangle", 1.2990),  # 3 sqrt(3) / 4
        ("star", 1.1226),  # pentagram of circumradius 1
        ("ring", 3.1416 * (1 - 0.55**2)),
        ("cross", 8 * 0.33 * 0.9440 - 4 * 0.33**2),
    ],
)
def test_silhouettes_have_the_area_of_their_figure(name: str, area: float) -> None:
    _, inside = rasterise(Shape(name, 200, 200, 400, 1, 0.4), (400, 400))
    assert inside.sum() / 200**2 == pytest.approx(area, rel=0.005)


def test_pixels_are_tested_at_their_centres() -> None:
    region, inside = rasterise(Shape("disc", 4, 4, 4, 1, 0), (8, 8))
    assert region == (slice(2, 6), slice(2, 6))
    assert inside.sum() == 12  # all of 4 x 4 but the corners


def test_silhouettes_stay_in_the_unit_circle() -> None:
    p, q = np.meshgrid(*[np.linspace(-1.5, 1.5, 301, dtype=np.float32)] * 2)
    for silhouette in SILHOUETTES.values():
        assert (p**2 + q**2)[silhouette(p, q)].max() <= 1.0001


def test_aspect_and_tilt_turn_a_disc_into_a_tilted_ellipse() -> None:
    _, inside = rasterise(Shape("disc", 50, 50, 80, 0.5, np.pi / 2), (100, 100))
    y, x = np.nonzero(inside)
    assert np.ptp(y) + 1 == pytest.approx(80, abs=1)
    assert np.ptp(x) + 1 == pytest.approx(40, abs=1)


@pytest.mark.parametrize("texture", TEXTURES)
def test_textures_lie_in_the_unit_range_and_vary(texture: Texture) -> None:
    grey = texture(np.random.default_rng(0), 40, 60)
    assert grey.shape == (40, 60)
    assert grey.dtype == np.float32
    assert -1e-6 <= grey.min() < 0.3
    assert 0.7 < grey.max() <= 1 + 1e-6


def test_painting_covers_pictures_larger_than_one_atlas() -> None:
    assert random_paint(np.random.default_rng(2), 300, 520).shape == (3, 300, 520)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": ("disc", "blob")}, "blob"),
        ({"classes": ()}, "expected classes"),
        ({"objects": (4, 2)}, r"objects, got \(4, 2\)"),
        ({"size_px": (0, 20)}, r"size_px, got \(0, 20\)"),
        ({"image_size": (0, 20)}, "image_size"),
    ],
)
def test_impossible_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Shapes(length=1, **arguments)


def test_an_index_beyond_the_end_ends_iteration() -> None:
    with pytest.raises(IndexError, match=r"\[0, 2\), got 2"):
        Shapes(length=2)[2]


def test_write_coco_lists_every_image_and_object(tmp_path: Path) -> None:
    dataset = Shapes(length=4, seed=1)
    document = json.loads(write_coco(dataset, tmp_path).read_text())
    assert [entry["file_name"] for entry in document["images"]] == [
        f"00000{i}.png" for i in range(4)
    ]
    assert len(document["annotations"]) == sum(len(t["labels"]) for t in targets(dataset, 4))
    assert [c["name"] for c in document["categories"]] == list(dataset.class_names)
    assert sorted(p.suffix for p in tmp_path.rglob("*.*")) == [".json"] + [".png"] * 4


def test_written_boxes_are_those_of_the_written_masks(tmp_path: Path) -> None:
    document = json.loads(write_coco(Shapes(length=4, seed=1), tmp_path).read_text())
    for annotation in document["annotations"]:
        assert annotation["bbox"] == coco_mask.toBbox(annotation["segmentation"]).tolist()
        assert annotation["area"] == coco_mask.area(annotation["segmentation"])


def test_an_interrupted_write_leaves_the_old_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_coco(Shapes(length=1), tmp_path)
    before = path.read_bytes()
    monkeypatch.setattr(Shapes, "__getitem__", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_coco(Shapes(length=2), tmp_path)
    assert path.read_bytes() == before
