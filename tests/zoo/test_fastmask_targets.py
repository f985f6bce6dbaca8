"""Which windows FastMask trains, and what they should predict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tensormask_core.assign import FastMaskRule
from tensormask_core.masks import crop_and_resize
from tensormask_zoo.fastmask.losses import cell_loss, score_loss
from tensormask_zoo.fastmask.targets import (
    Sample,
    Sampling,
    attention_targets,
    check_targets,
    mask_targets,
    sample_windows,
)
from tensormask_zoo.fastmask.windows import window_grid

SIZE = (160, 200)
GRID = window_grid(SIZE, (4, 6, 8, 12, 16))
BOXES = [[10, 10, 60, 40], [100, 60, 180, 140], [120, 5, 140, 25]]
HARD, PAPER = FastMaskRule(), FastMaskRule.paper()


def sample(objects: Any, rule: FastMaskRule, sampling: Sampling, **target: Any) -> Sample:
    torch.manual_seed(0)
    boxes = target.pop("boxes", BOXES)
    return sample_windows(rule, GRID, objects(boxes, SIZE, **target), sampling)


def test_no_more_windows_are_drawn_than_asked_for(objects: Any) -> None:
    found = sample(objects, HARD, Sampling(positives=5, negatives=7))
    assert (len(found.window), len(found.object), len(found.positive)) == (12, 5, 5)
    assert len(set(found.window.tolist())) == 12


def test_positives_are_those_of_the_rule_with_their_objects(objects: Any) -> None:
    labels = HARD(GRID, BOXES)
    owner = dict(zip(labels.window.tolist(), labels.object.tolist(), strict=True))
    found = sample(objects, HARD, Sampling())
    assert [owner[w] for w in found.positive.tolist()] == found.object.tolist()
    assert set(found.object.tolist()) == {0, 1, 2}


def test_negatives_of_the_released_rule_are_hard_ones(objects: Any) -> None:
    found = sample(objects, HARD, Sampling())
    negative = found.window[len(found.object) :]
    assert len(negative) == 32
    assert np.isin(negative, HARD(GRID, BOXES).negative).all()


def test_the_draw_is_random_and_seeded(objects: Any) -> None:
    first, again = (sample(objects, HARD, Sampling()) for _ in range(2))
    other = sample_windows(HARD, GRID, objects(BOXES, SIZE), Sampling())
    assert first.window.tolist() == again.window.tolist() != other.window.tolist()


def test_balanced_negatives_are_as_many_as_positives(objects: Any) -> None:
    found = sample(objects, PAPER, Sampling(positives=6, balanced=True))
    assert (len(found.object), len(found.window)) == (6, 12)
    positive = PAPER(GRID, BOXES).window
    assert not np.isin(found.window[6:], positive).any()


def test_an_image_without_objects_trains_what_its_rule_leaves(objects: Any) -> None:
    hard = sample(objects, HARD, Sampling(), boxes=[])
    balanced = sample(objects, PAPER, Sampling(balanced=True), boxes=[])
    every = sample(objects, PAPER, Sampling(), boxes=[])
    assert [len(s.window) for s in (hard, balanced, every)] == [0, 1, 32]


def test_a_crowd_is_no_object_and_the_others_keep_their_number(objects: Any) -> None:
    found = sample(objects, HARD, Sampling(), iscrowd=[0, 1, 0])
    alone = sample(objects, HARD, Sampling(), boxes=[BOXES[0], BOXES[2]])
    assert found.window.tolist() == alone.window.tolist()
    assert found.object.tolist() == [2 * k for k in alone.object.tolist()]


def test_attention_is_the_box_of_the_object_in_window_cells() -> None:
    window, box = torch.tensor([[0.0, 0.0, 100.0, 50.0]]), torch.tensor([[20.0, 12.5, 60.0, 80.0]])
    (found,) = attention_targets(window, box, 10)
    rows = torch.tensor([0, 0, 0.5, 1, 1, 1, 1, 1, 1, 1])
    columns = torch.tensor([0, 0, 1, 1, 1, 1, 0, 0, 0, 0]).float()
    assert torch.allclose(found, rows[:, None] * columns, atol=1e-6)


def test_attention_is_the_coverage_of_the_filled_box(objects: Any) -> None:
    boxes = torch.tensor(BOXES).float()
    windows = torch.tensor([[-30.0, 0, 70, 100], [60, 20, 220, 180], [110, -5, 150, 35]])
    expected = crop_and_resize(objects(BOXES, SIZE)["masks"], windows, (10, 10))
    assert torch.allclose(attention_targets(windows, boxes, 10), expected, atol=1e-5)


@pytest.mark.parametrize("soft", [True, False])
def test_masks_are_the_objects_seen_through_their_windows(objects: Any, soft: bool) -> None:
    target = objects(BOXES, SIZE)
    found = sample(objects, HARD, Sampling(positives=6))
    windows = torch.from_numpy(GRID.boxes(found.positive))
    goals = mask_targets(target, found, windows, 20, soft=soft)
    assert goals.shape == (6, 20, 20)
    for k, owner in enumerate(found.object.tolist()):
        mask = target["masks"][owner : owner + 1]
        (expected,) = crop_and_resize(mask, windows[k : k + 1], (20, 20), soft=soft)
        assert torch.equal(goals[k], expected.float())


def test_missing_targets_are_refused(objects: Any) -> None:
    with pytest.raises(ValueError, match="training expects targets, got None"):
        check_targets(None, 1)
    with pytest.raises(ValueError, match="got 1 images and 2 targets"):
        check_targets([objects([])] * 2, 1)


def test_masks_of_other_objects_are_refused(objects: Any) -> None:
    target = objects(BOXES, SIZE) | {"masks": torch.zeros(2, *SIZE)}
    with pytest.raises(ValueError, match="target 0 expects a mask per box, got 3 boxes, 2 masks"):
        check_targets([target], 1)


def test_an_undecided_score_costs_ln_2_per_window() -> None:
    found = score_loss(torch.zeros(5), torch.tensor([True, False, True, True, False]))
    assert found.item() == pytest.approx(5 * np.log(2), rel=1e-6)


def test_a_window_costs_the_mean_over_its_cells() -> None:
    logits = torch.tensor([[[0.0, 2.0]], [[-1.0, 1.0]]])
    goals = torch.tensor([[[1.0, 0.0]], [[0.25, 1.0]]])
    p = 1 / (1 + np.exp(-logits.double().numpy()))
    y = goals.double().numpy()
    expected = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(axis=(1, 2)).sum()
    assert cell_loss(logits, goals).item() == pytest.approx(expected, rel=1e-5)
