"""DeepMask's losses."""

from __future__ import annotations

import math

import pytest
import torch

from tensormask_zoo.deepmask.losses import mask_loss, score_loss


def test_losses_are_soft_margins() -> None:
    x = torch.tensor([2.0, -1.0])
    expected = sum(math.log1p(math.exp(-y * f)) for y, f in ((1, 2.0), (-1, -1.0)))
    assert float(score_loss(x, torch.tensor([1.0, -1.0]), weight=1)) == pytest.approx(expected)
    mask = mask_loss(x.reshape(1, 1, 2), torch.tensor([1.0, -1.0]).reshape(1, 1, 2))
    assert float(mask) == pytest.approx(expected / 2)


def test_lambda_is_a_thirty_second_whatever_the_batch() -> None:
    for batch in (4, 32):
        loss = score_loss(torch.zeros(batch), torch.ones(batch))
        assert float(loss) == pytest.approx(batch * math.log(2) / 32)


def test_the_gradient_of_a_mask_does_not_depend_on_the_batch() -> None:
    gradients = []
    for batch in (1, 8):
        logits = torch.linspace(-1, 1, 36).reshape(1, 6, 6).repeat(batch, 1, 1).requires_grad_()
        mask_loss(logits, torch.ones(batch, 6, 6)).backward()
        assert logits.grad is not None
        gradients.append(logits.grad[0])
    assert torch.allclose(*gradients)


def test_large_logits_stay_finite() -> None:
    assert float(score_loss(torch.tensor([1e4]), torch.tensor([-1.0]), weight=1)) == 1e4
