"""The three losses against their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from tensormask_zoo.tensormask.losses import box_loss, focal_star, mask_loss

NOWHERE = (torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long))
FIRST = (torch.tensor([0]), torch.tensor([0]))


def dense_focal_star(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """FL* as written in the paper, entry by entry (zoo-facts 5.3)."""
    x_t = torch.where(target, logits, -logits)
    alpha_t = torch.where(target, 0.3, 0.7)
    return -alpha_t * torch.sigmoid(3.0 * x_t).log() / 3.0


@pytest.mark.parametrize(("positive", "alpha"), [(FIRST, 0.3), (NOWHERE, 0.7)])
def test_focal_star_of_an_undecided_window(
    positive: tuple[torch.Tensor, ...], alpha: float
) -> None:
    loss = focal_star(torch.zeros(1, 1), positive)
    assert loss == pytest.approx(alpha * math.log(2) / 3)


def test_focal_star_equals_the_dense_formula() -> None:
    torch.manual_seed(0)
    logits, target = 2 * torch.randn(4, 50, 7), torch.rand(4, 50, 7) < 0.1
    expected = dense_focal_star(logits.double(), target).sum()
    assert focal_star(logits, target.nonzero(as_tuple=True)) == pytest.approx(float(expected))


def test_focal_star_has_the_gradient_of_the_dense_formula() -> None:
    torch.manual_seed(1)
    logits = torch.randn(20, 3, dtype=torch.double, requires_grad=True)
    target = torch.rand(20, 3) < 0.3
    (found,) = torch.autograd.grad(focal_star(logits, target.nonzero(as_tuple=True)), logits)
    (expected,) = torch.autograd.grad(dense_focal_star(logits, target).sum(), logits)
    assert torch.allclose(found, expected)


@pytest.mark.parametrize("logit", [-100.0, 100.0])
def test_focal_star_is_finite_where_the_formula_overflows(logit: float) -> None:
    loss = focal_star(torch.full((1, 2), logit), FIRST)
    assert loss == pytest.approx(0.3 * 100 if logit < 0 else 0.7 * 100)


def test_box_loss_sums_absolute_differences() -> None:
    deltas, targets = torch.tensor([[1.0, 2, 3, 4], [0, 0, 0, 0]]), torch.zeros(2, 4)
    targets[1] = -0.5
    assert box_loss(deltas, targets) == pytest.approx(12.0)


def test_mask_loss_averages_cells_and_weighs_covered_ones() -> None:
    torch.manual_seed(2)
    logits, targets = torch.randn(3, 5, 4), torch.rand(3, 5, 4)
    p = logits.double().sigmoid()
    cells = -1.5 * targets * p.log() - (1 - targets) * (1 - p).log()
    expected = 2 * cells.mean(dim=(1, 2)).sum()
    assert mask_loss(logits, targets) == pytest.approx(float(expected))


def test_mask_loss_is_computed_in_single_precision() -> None:
    loss = mask_loss(torch.zeros(1, 3, 3, dtype=torch.bfloat16), torch.zeros(1, 3, 3))
    assert loss.dtype == torch.float32
    assert loss == pytest.approx(2 * math.log(2))
