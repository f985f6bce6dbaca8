"""DeepMask's measure in validation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tensormask_zoo.proposals.patches import PatchEvaluator, patch_ious

TRUTH = torch.zeros(3, 10, 10)
TRUTH[:, :5] = 1


def test_iou_is_by_patch() -> None:
    found = TRUTH.clone()
    found[1, :5, 7:] = 0.4
    found[2] = 1 - TRUTH[2]
    assert patch_ious(found, TRUTH).tolist() == [1.0, 0.7, 0.0]


def test_probability_one_half_is_no_mask() -> None:
    assert patch_ious(torch.full((1, 2, 2), 0.5), torch.zeros(1, 2, 2)).tolist() == [1.0]


def test_the_threshold_can_be_that_of_inference() -> None:
    assert patch_ious(TRUTH * 0.3, TRUTH, threshold=0.2).tolist() == [1.0] * 3


def test_gradients_and_half_precision_do_not_matter() -> None:
    found = TRUTH.to(torch.bfloat16).requires_grad_()
    assert patch_ious(found.float() * 1, TRUTH).tolist() == [1.0] * 3


def test_the_measures_are_over_all_patches() -> None:
    evaluator = PatchEvaluator()
    evaluator.add(TRUTH[:2], TRUTH[:2])
    half = TRUTH[:1].clone()
    half[:, :, 6:] = 0
    evaluator.add(half, TRUTH[:1])
    assert list(evaluator.compute().values()) == pytest.approx([2.6 / 3, 1.0, 1.0, 2 / 3])


def test_without_patches_there_is_nothing_to_measure() -> None:
    evaluator = PatchEvaluator()
    evaluator.add(TRUTH, TRUTH)
    evaluator.reset()
    assert set(evaluator.compute().values()) == {-1.0}


@pytest.mark.parametrize("shape", [(3, 10, 9), (1, 10, 10), (100,)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"one shape, got .* and \(3, 10, 10\)"):
        patch_ious(np.zeros(shape), TRUTH)
