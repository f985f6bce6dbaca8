"""What true windows and true targets would score."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tensormask_zoo.data.shapes import Shapes
from tensormask_zoo.evaluation import CocoEvaluator, ImageResult
from tensormask_zoo.models import tensormask_small_fpn
from tensormask_zoo.tensormask import TensorMask
from tensormask_zoo.tensormask.ceiling import ceiling_of, true_detections


def ceiling(model: TensorMask) -> float:
    shapes = Shapes(length=10, seed=1)
    evaluator = CocoEvaluator(shapes.class_names)
    for image, target in (shapes[k] for k in range(len(shapes))):
        evaluator.add(ImageResult.of(*true_detections(model, target), image), target)
    return evaluator.compute()["mask AP"]


@pytest.mark.parametrize(
    ("settings", "low", "high"), [({}, 0.85, 1.0), ({"sigma_vu": 4}, 0.5, 0.9)]
)
def test_finer_mask_cells_raise_the_ceiling(settings: Any, low: float, high: float) -> None:
    assert low <= ceiling(tensormask_small_fpn(num_classes=5, **settings)) < high


def test_each_object_is_detected_once_with_its_box_and_label(objects: Any) -> None:
    target = objects([[4, 4, 36, 36], [50, 10, 90, 60]])
    found, masks = true_detections(tensormask_small_fpn(num_classes=3), target)
    assert torch.equal(found.boxes, target["boxes"])
    assert torch.equal(found.labels, target["labels"])
    assert sorted(row for group in masks for row in group.rows.tolist()) == [0, 1]


def test_an_object_that_no_window_holds_is_missing(objects: Any) -> None:
    target = objects([[1, 1, 159, 159], [4, 4, 36, 36]], (160, 160))
    found, _ = true_detections(tensormask_small_fpn(num_classes=3), target)
    assert torch.equal(found.boxes, target["boxes"][1:])


def test_an_image_without_objects_has_no_detections(objects: Any) -> None:
    found, masks = true_detections(tensormask_small_fpn(num_classes=3), objects([]))
    assert (len(found.boxes), masks) == (0, [])


def test_a_model_that_resizes_answers_in_the_coordinates_of_the_image() -> None:
    image, target = Shapes(length=1, seed=4)[0]
    model = tensormask_small_fpn(num_classes=5, min_size=192, max_size=200)
    found, masks = ceiling_of(model, image, target)
    assert torch.allclose(found.boxes, target["boxes"].as_subclass(torch.Tensor), atol=1e-3)
    assert all(group.boxes.max() < 192 for group in masks)
