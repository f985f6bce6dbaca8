"""InstanceFCN's training: scales, drawn windows, their targets, and the two losses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tensormask_core import Aligned, WindowGrid
from tensormask_core.assign import DeepMaskRule
from tensormask_core.grid import GridLevel
from tensormask_zoo.instancefcn.builders import instancefcn_small
from tensormask_zoo.instancefcn.image_scales import (
    DEEPMASK_FACTORS,
    SHORT_SIDES,
    ImageScales,
    resize,
    resized_size,
)
from tensormask_zoo.instancefcn.losses import InstanceLoss
from tensormask_zoo.instancefcn.targets import WindowTargets
from tensormask_zoo.instancefcn.window_sampling import Drawn, WindowSampling

SIZE = (240, 320)
CANONICAL = [108.0, 65.0, 204.0, 151.0]  # 96 px wide, centred on node (13, 19)


def grid(factor: float = 1.0) -> WindowGrid:
    """The windows of an image of SIZE at a scale, as the model lays them."""
    rows, columns = (-(-side // 8) for side in resized_size(SIZE, factor))
    half, side = 4 / factor, 168 / factor
    return WindowGrid((GridLevel(rows, columns, 8 / factor, ((side, side),), (half, half)),))


def losses(objects: Any, boxes: Any, size: tuple[int, int] = (64, 96), **settings: Any) -> Any:
    torch.manual_seed(0)
    model = instancefcn_small(**{"scales": {"factors": [1.0]}} | settings)
    return model([torch.rand(3, *size)], [objects(boxes, size)])


def test_short_sides_are_those_of_the_paper() -> None:
    assert [round(side, 2) for side in SHORT_SIDES] == [118.52, 177.78, 266.67, 400, 600, 900]
    assert ImageScales().of((500, 375)) == pytest.approx([side / 375 for side in SHORT_SIDES])


def test_scales_may_be_relative_to_the_image() -> None:
    scales = ImageScales(factors=DEEPMASK_FACTORS)
    assert scales.of((500, 375)) == scales.of((40, 3000 // 2)) == pytest.approx(
        [0.25, 0.5**1.5, 0.5, 0.5**0.5, 1, 2**0.5, 2]
    )  # fmt: skip


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (49, 50), (4000, 3)])
def test_images_of_any_size_keep_a_pixel_and_stay_limited(size: tuple[int, int]) -> None:
    for factor in ImageScales().of(size):
        rows, columns = resize(torch.zeros(3, *size), factor).shape[1:]
        assert (rows, columns) == resized_size(size, factor)
        assert 1 <= min(rows, columns) <= max(rows, columns) <= 4000


@pytest.mark.parametrize("factor", [0.4, 2 / 3, 1.5, 2.25])
def test_resizing_keeps_places_exactly(factor: float) -> None:
    """A ramp holds its own coordinate: pixel point p comes to lie at factor * p."""
    ramp = (torch.arange(97) + 0.5).repeat(3, 61, 1)
    row = resize(ramp, factor)[0, 5]
    expected = (torch.arange(len(row)) + 0.5) / factor
    assert (row - expected)[3:-3].abs().max() < 0.05


def test_training_draws_every_scale() -> None:
    torch.manual_seed(0)
    assert {ImageScales().draw() for _ in range(100)} == set(range(6))


@pytest.mark.parametrize("wrong", [{"short_sides": []}, {"factors": [1.0, 0.0]}])
def test_scales_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="one or more positive numbers"):
        ImageScales(**wrong)


def test_positives_are_canonical_at_their_scale(objects: Any) -> None:
    """96 px objects in 168 px windows: twice the size is canonical at half the scale."""
    target = objects([CANONICAL], SIZE)
    large = objects([[24.0, 18.0, 216.0, 190.0]], SIZE)
    for one, factor in ((target, 1.0), (large, 0.5)):
        drawn = WindowSampling().draw(grid(factor), one)
        window = drawn.window[drawn.object == 0]
        centre = one["boxes"][0].reshape(2, 2).mean(0).flip(0).numpy()
        assert len(window) == 9
        assert np.abs(grid(factor).centres(window) - centre).max() <= 12 / factor
        assert not (WindowSampling().draw(grid(1.5 * factor), one).object >= 0).any()


def test_negatives_take_the_place_of_missing_positives(objects: Any) -> None:
    drawn = WindowSampling().draw(grid(), objects([CANONICAL], SIZE))
    assert len(drawn.window) == len(set(drawn.window.tolist())) == 256
    assert (drawn.object >= 0).sum() == 9


def test_fewer_windows_keep_the_ratio(objects: Any) -> None:
    drawn = WindowSampling(shortage="fewer").draw(grid(), objects([CANONICAL], SIZE))
    assert ((drawn.object >= 0).sum(), (drawn.object < 0).sum()) == (9, 9)


def test_of_many_positives_half_are_drawn(objects: Any) -> None:
    drawn = WindowSampling(windows=10).draw(grid(), objects([CANONICAL], SIZE))
    assert ((drawn.object >= 0).sum(), (drawn.object < 0).sum()) == (5, 5)


def test_windows_between_positive_and_negative_are_not_drawn(objects: Any) -> None:
    target = objects([CANONICAL], SIZE)
    ignored = DeepMaskRule.paper()(grid(), target["boxes"].numpy()).ignored
    drawn = WindowSampling(windows=5000).draw(grid(), target)
    assert len(ignored)
    assert not set(ignored) & set(drawn.window)


def test_windows_of_a_crowd_are_not_drawn(objects: Any) -> None:
    crowd = objects([CANONICAL], SIZE, iscrowd=[1])
    found = DeepMaskRule.paper()(grid(), crowd["boxes"].numpy())
    drawn = WindowSampling(windows=5000).draw(grid(), crowd)
    assert (drawn.object == -1).all()
    assert not set(drawn.window) & {*found.window, *found.ignored}
    assert len(drawn.window) == len(grid()) - len(found.window) - len(found.ignored)


def test_objects_keep_their_row_beside_a_crowd(objects: Any) -> None:
    target = objects([[0, 0, 50, 50], CANONICAL], SIZE, iscrowd=[1, 0])
    drawn = WindowSampling().draw(grid(), target)
    assert set(drawn.object) == {-1, 1}


@pytest.mark.parametrize("wrong", [{"windows": 1}, {"positive_share": 1.0}, {"shortage": "repeat"}])
def test_samplings_that_do_not_exist_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expects"):
        WindowSampling(**wrong)


def targets_of(target: Any, window: list[int], objects_: list[int], **more: Any) -> WindowTargets:
    drawn = Drawn(np.array(window), np.array(objects_))
    return WindowTargets.of([grid()], [target], [drawn], 21, **more)


def test_masks_are_the_blocks_of_pixels_under_their_nodes(objects: Any) -> None:
    target = objects([CANONICAL], SIZE)
    at = int(grid().ravel(0, 13, 19, 0))
    goals = targets_of(target, [at, 0], [0, -1], soft=True)
    y, x = (13 - 10) * 8, (19 - 10) * 8
    blocks = target["masks"][0, y : y + 168, x : x + 168].float().reshape(21, 8, 21, 8)
    assert goals.index.tolist() == [[0, 13, 19], [0, 0, 0]]
    assert goals.positive.tolist() == [True, False]
    assert torch.allclose(goals.masks[0], blocks.mean((1, 3)))
    assert not goals.masks[1].any()


def test_hard_masks_are_zero_or_one(objects: Any) -> None:
    target = objects([CANONICAL], SIZE)
    at = int(grid().ravel(0, 13, 19, 0))
    soft = targets_of(target, [at], [0], soft=True).masks
    assert soft.unique().numel() > 2
    assert torch.equal(targets_of(target, [at], [0]).masks, (soft >= 0.5).float())


def test_a_window_at_a_corner_has_a_quarter_of_its_nodes_inside(objects: Any) -> None:
    goals = targets_of(objects([], SIZE), [0, len(grid()) - 1], [-1, -1])
    first, last = goals.inside
    assert first[10:, 10:].all()
    assert last[:11, :11].all()
    assert goals.inside.sum(dim=(1, 2)).tolist() == [121, 121]


def test_nodes_outside_the_map_count_for_nothing(objects: Any) -> None:
    goals = targets_of(objects([CANONICAL], SIZE), [0], [0])
    assert goals.inside[0].nonzero().min() == 10
    logits = torch.zeros(1, 21, 21)
    loss = InstanceLoss()
    expected = loss.masks(logits, torch.tensor([0]), goals)
    logits[0, :10] = 50.0
    assert loss.masks(logits, torch.tensor([0]), goals) == expected
    assert expected.item() == pytest.approx(math.log(2))


@pytest.mark.parametrize(("pixels", "factor"), [("mean", 1.0), ("sum", 121 / 4)])
def test_equation_1_is_a_sum_or_a_mean(objects: Any, pixels: Any, factor: float) -> None:
    """One positive at the corner, 11 x 11 of its nodes on the map, among four windows."""
    goals = targets_of(objects([CANONICAL], SIZE), [0, 1, 2, 3], [0, -1, -1, -1])
    loss = InstanceLoss(pixels=pixels, mask_weight=2)
    rows = loss.rows(goals)
    found = loss.masks(torch.zeros(1, 21, 21), rows, goals)
    assert rows.tolist() == [0]
    assert found.item() == pytest.approx(2 * factor * math.log(2), rel=1e-5)


def test_negatives_may_learn_empty_masks(objects: Any) -> None:
    goals = targets_of(objects([CANONICAL], SIZE), [0, 500], [-1, -1])
    loss = InstanceLoss(negative_masks=True)
    rows = loss.rows(goals)
    assert rows.tolist() == [0, 1]
    empty, full = (loss.masks(torch.full((2, 21, 21), z), rows, goals) for z in (-9.0, 9.0))
    assert empty < 0.01
    assert full > 8


def test_a_loss_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="pixels expects 'mean' or 'sum', got 'none'"):
        InstanceLoss(pixels="none")  # type: ignore[arg-type]  # that is the point


def test_training_returns_finite_losses(objects: Any) -> None:
    found = losses(objects, [[4, 4, 36, 36]])
    assert found.keys() == {"loss_objectness", "loss_mask"}
    assert all(0 < value.item() < 100 for value in found.values())


def test_losses_compare_each_window_with_its_own_object(objects: Any) -> None:
    """Score maps and objectness painted as they should be, for two images, have no loss."""
    model, size = instancefcn_small(k=1, scales={"factors": [1.0]}), (96, 160)
    targets = [objects([box], size) for box in ([20, 20, 60, 52], [92, 36, 132, 64])]
    grid = model.grid(size)
    scores = torch.stack(
        [torch.from_numpy(model.sampling.rule(grid, t["boxes"].numpy()).labels()) for t in targets]
    ).reshape(2, 24, 40)
    nodes = torch.stack([t["masks"][:, ::4, ::4] for t in targets])  # boxes lie on whole nodes
    maps = Aligned(40.0 * nodes[:, None] - 20, sigma_vu=60, sigma_hw=4)
    model.head.forward = lambda features: (maps, 40.0 * (scores > 0) - 20)
    found = model([torch.rand(3, *size)] * 2, targets)
    assert all(value.item() < 1e-6 for value in found.values())


def test_every_parameter_learns(objects: Any) -> None:
    torch.manual_seed(0)
    model = instancefcn_small(scales={"factors": [1.0]})
    found = model([torch.rand(3, 64, 96)], [objects([[4, 4, 36, 36]])])
    torch.stack(list(found.values())).sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_few_steps_lower_the_loss(objects: Any) -> None:
    torch.manual_seed(0)
    model = instancefcn_small(scales={"factors": [1.0]})
    batch = [torch.rand(3, 64, 96)], [objects([[4, 4, 36, 36], [50, 10, 84, 40]])]
    optimizer, course = torch.optim.AdamW(model.parameters(), 5e-3), []
    for _ in range(12):
        loss: Tensor = torch.stack(list(model(*batch).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        course.append(loss.item())
    assert course[-1] < 0.7 * course[0]


@pytest.mark.parametrize(
    "boxes",
    [[], [[10, 10, 10, 10]], [[10, 10, 40, 40]] * 3, [[1, 1, 95, 63]]],
    ids=["none", "a point", "one place", "larger than windows"],
)
def test_any_number_and_size_of_objects_has_finite_losses(objects: Any, boxes: Any) -> None:
    found = losses(objects, boxes)
    assert all(0 <= value.item() < 100 for value in found.values())
    torch.stack(list(found.values())).sum().backward()


def test_images_of_a_batch_may_differ_in_size(objects: Any) -> None:
    torch.manual_seed(0)
    model = instancefcn_small()
    pictures = [torch.rand(3, 64, 96), torch.rand(3, 40, 33)]
    targets = [objects([[4, 4, 36, 36]]), objects([[2, 2, 30, 30]], (40, 33))]
    for _ in range(5):
        assert all(value.isfinite() for value in model(pictures, targets).values())


def test_labels_do_not_matter(objects: Any) -> None:
    target = objects([[4, 4, 36, 36]])
    found = []
    for label in (1, 80):
        torch.manual_seed(0)
        model = instancefcn_small(scales={"factors": [1.0]})
        found.append(model([torch.ones(3, 64, 96)], [target | {"labels": torch.tensor([label])}]))
    assert found[0] == found[1]


def test_training_without_targets_is_refused() -> None:
    with pytest.raises(ValueError, match="training expects targets, got None"):
        instancefcn_small()([torch.rand(3, 64, 96)])


def test_targets_for_other_images_are_refused(objects: Any) -> None:
    with pytest.raises(ValueError, match="one target per image, got 1 images and 2 targets"):
        instancefcn_small()([torch.rand(3, 64, 96)], [objects([])] * 2)


def test_an_image_that_is_not_rgb_is_refused(objects: Any) -> None:
    with pytest.raises(ValueError, match=r"an image expects \(3, H, W\), got shape \(1, 64, 96\)"):
        instancefcn_small()([torch.rand(1, 64, 96)], [objects([])])


def test_objects_of_all_sizes_have_windows_in_the_small_model() -> None:
    model = instancefcn_small()
    grid = model.grid((128, 128))
    sides = np.geomspace(8.5, 92, 40)
    boxes = 61.3 + sides[:, None] / 2 * np.array([-1, -1, 1, 1])
    assert min(len(model.sampling.rule(grid, [box]).window) for box in boxes) > 0


def test_the_small_model_does_not_remember_the_scales_of_its_last_batches() -> None:
    assert [name for name, _ in instancefcn_small().named_buffers()] == []


def test_scores_of_the_small_model_see_a_quarter_of_positives(objects: Any) -> None:
    model = instancefcn_small()
    target = objects([[30, 20, 64, 54]], (128, 128))
    drawn = model.sampling.draw(model.grid((128, 128)), target)
    positives = int((drawn.object == 0).sum())
    assert positives > 0
    assert len(drawn.window) == 4 * positives
