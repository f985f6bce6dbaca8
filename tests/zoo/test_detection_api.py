"""torchvision's detection API: losses in training, detections in evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from tensormask_zoo.models import tensormask_small_fpn
from tensormask_zoo.tensormask import TensorMask

LOSSES = {"loss_classifier", "loss_box_reg", "loss_mask"}
EVERY_LEVEL = [[4, 4, 36, 36], [40, 8, 100, 64], [80, 70, 190, 186]]  # 32, 60 and 116 px


def losses(objects: Any, boxes: Sequence[Any], size: tuple[int, int] = (64, 96)) -> dict[str, Any]:
    torch.manual_seed(0)
    model = tensormask_small_fpn(num_classes=3)
    found: dict[str, Tensor] = model([torch.rand(3, *size)], [objects(boxes, size)])
    return {name: value.item() for name, value in found.items()}


def images(count: int, size: tuple[int, int] = (64, 96), seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(3, *size, generator=generator) for _ in range(count)]


def detect(model: TensorMask, pictures: list[Tensor]) -> list[dict[str, Tensor]]:
    with torch.no_grad():
        found: list[dict[str, Tensor]] = model(pictures)
    return found


def test_training_returns_finite_losses(objects: Any) -> None:
    found = losses(objects, [[4, 4, 36, 36]])
    assert found.keys() == LOSSES
    assert all(0 < value < 100 for value in found.values())


def test_every_parameter_learns_when_every_level_has_an_object(objects: Any) -> None:
    torch.manual_seed(0)
    model, size = tensormask_small_fpn(num_classes=3), (192, 192)
    found = model(images(1, size), [objects(EVERY_LEVEL, size)])
    torch.stack(list(found.values())).sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_few_steps_lower_the_loss(objects: Any) -> None:
    torch.manual_seed(0)
    model, batch = tensormask_small_fpn(num_classes=3), images(1)
    target = objects([[4, 4, 36, 36], [50, 10, 90, 60]])
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    course = []
    for _ in range(6):
        loss = torch.stack(list(model(batch, [target]).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        course.append(loss.item())
    assert course[-1] < 0.75 * course[0]


def test_losses_are_averages_over_the_positive_windows(objects: Any) -> None:
    torch.manual_seed(0)
    model, (image,), target = (
        tensormask_small_fpn(num_classes=3),
        images(1),
        objects([[4, 4, 36, 36]]),
    )
    once, twice = model([image], [target]), model([image, image], [target, target])
    for name in LOSSES:
        assert once[name].item() == pytest.approx(twice[name].item(), rel=1e-3)


@pytest.mark.parametrize(
    "boxes",
    [
        [],
        [[10, 10, 11, 11]],
        [[10, 10, 10, 10]],
        [[10, 10, 30, 10]],
        [[10, 10, 40, 40]] * 3,
        [[x % 80, x % 50, x % 80 + 12, x % 50 + 10] for x in range(0, 3500, 7)],
    ],
    ids=["none", "one pixel", "a point", "a line", "one place", "500 objects"],
)
def test_any_number_and_size_of_objects_has_finite_losses(objects: Any, boxes: Any) -> None:
    found = losses(objects, boxes)
    assert all(0 <= value < 1000 for value in found.values())


def test_an_object_larger_than_every_window_is_background(objects: Any) -> None:
    size = (160, 160)
    assert losses(objects, [[1, 1, 159, 159]], size) == losses(objects, [], size)


def test_a_crowd_is_background(objects: Any) -> None:
    torch.manual_seed(0)
    model, batch = tensormask_small_fpn(num_classes=3), images(1)
    crowd = model(batch, [objects([[4, 4, 36, 36]], iscrowd=[1])])
    assert not crowd["loss_mask"]
    assert not crowd["loss_box_reg"]


def test_images_of_a_batch_may_differ_in_size(objects: Any) -> None:
    model = tensormask_small_fpn(num_classes=3)
    pictures = images(1, (64, 96)) + images(1, (40, 33))
    targets = [objects([[4, 4, 36, 36]]), objects([[2, 2, 30, 30]], (40, 33))]
    assert all(value.isfinite() for value in model(pictures, targets).values())


def test_detections_have_the_types_and_ranges_of_torchvision(detector: TensorMask) -> None:
    (found,) = detect(detector, images(1))
    count = len(found["boxes"])
    assert 5 < count <= 20
    assert found["boxes"].shape == (count, 4)
    assert found["labels"].dtype == torch.int64
    assert set(found["labels"].tolist()) <= {1, 2, 3}
    assert found["masks"].shape == (count, 1, 64, 96)
    assert 0 <= found["masks"].min() < 0.5 < found["masks"].max() <= 1


def test_detections_come_best_first(detector: TensorMask) -> None:
    (found,) = detect(detector, images(1))
    assert (found["scores"].diff() <= 0).all()
    assert (found["scores"] > 0.3).all()


def test_boxes_lie_inside_the_image(detector: TensorMask) -> None:
    (found,) = detect(detector, images(1))
    x0, y0, x1, y1 = found["boxes"].T
    assert ((x0 >= 0) & (y0 >= 0) & (x1 <= 96) & (y1 <= 64) & (x1 > x0) & (y1 > y0)).all()


def test_a_batch_gives_the_results_of_its_images(detector: TensorMask) -> None:
    pictures = images(3)
    for together, picture in zip(detect(detector, pictures), pictures, strict=True):
        (alone,) = detect(detector, [picture])
        assert torch.equal(together["labels"], alone["labels"])
        for name in ("boxes", "scores", "masks"):
            assert torch.allclose(together[name], alone[name], atol=1e-3)


def test_masks_have_the_size_of_their_own_image(detector: TensorMask) -> None:
    found = detect(detector, images(1, (64, 96)) + images(1, (50, 45)))
    assert [tuple(one["masks"].shape[-2:]) for one in found] == [(64, 96), (50, 45)]


def test_results_return_to_the_size_before_resizing(detector: TensorMask) -> None:
    torch.manual_seed(0)
    model = tensormask_small_fpn(
        num_classes=3, min_size=96, max_size=200, limits={"score_threshold": 0.3}
    )
    model.load_state_dict(detector.state_dict())
    picture = torch.rand(1, 3, 48, 96)
    enlarged = torch.nn.functional.interpolate(picture, scale_factor=2, mode="bilinear")
    (large,) = detect(detector, [enlarged[0]])
    (small,) = detect(model.eval(), [picture[0]])
    best = min(10, len(small["boxes"]))
    assert best > 0
    assert torch.allclose(small["boxes"][:best], large["boxes"][:best] / 2, atol=0.1)


def test_nothing_found_is_an_empty_result() -> None:
    (found,) = detect(tensormask_small_fpn(num_classes=3).eval(), images(1))
    assert [tuple(found[k].shape) for k in ("boxes", "labels", "masks")] == [
        (0, 4), (0,), (0, 1, 64, 96),
    ]  # fmt: skip


def test_training_without_targets_is_refused() -> None:
    with pytest.raises(ValueError, match="training expects targets, got None"):
        tensormask_small_fpn(num_classes=3)(images(1))


def test_targets_for_other_images_are_refused(objects: Any) -> None:
    with pytest.raises(ValueError, match="one target per image, got 1 images and 2 targets"):
        tensormask_small_fpn(num_classes=3)(images(1), [objects([])] * 2)


@pytest.mark.parametrize("label", [0, 4])
def test_labels_outside_the_classes_are_refused(objects: Any, label: int) -> None:
    target = objects([[4, 4, 36, 36]]) | {"labels": torch.tensor([label])}
    with pytest.raises(ValueError, match=rf"labels from 1 to 3, got {label}"):
        tensormask_small_fpn(num_classes=3)(images(1), [target])


def test_a_reversed_box_is_refused(objects: Any) -> None:
    target = objects([[4, 4, 36, 36]]) | {"boxes": torch.tensor([[36.0, 4, 4, 36]])}
    with pytest.raises(ValueError, match=r"x0 <= x1 .* got \[36.0, 4.0, 4.0, 36.0\] in row 0"):
        tensormask_small_fpn(num_classes=3)(images(1), [target])
