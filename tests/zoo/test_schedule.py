"""Optimiser, learning rate, and how far a run has come."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.callbacks import Timer
from torch import nn

from tensormask_zoo.detector import Detector
from tensormask_zoo.schedule import Optimisation


@pytest.mark.parametrize(
    ("progress", "factor"),
    [(0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (0.55, 0.5), (1.0, 0.0), (1.2, 0.0)],
)
def test_the_rate_rises_linearly_and_falls_by_a_cosine(progress: float, factor: float) -> None:
    assert Optimisation(warmup=0.1).factor(progress) == pytest.approx(factor)


def test_without_warm_up_the_rate_starts_at_its_peak() -> None:
    assert Optimisation(warmup=0.0).factor(0.0) == 1.0


@pytest.mark.parametrize(
    ("step", "factor"),
    [(0, 0.001), (500, 0.5005), (1000, 1.0), (59_999, 1.0), (60_000, 0.1), (80_000, 0.01)],
)
def test_the_rate_warms_up_and_falls_at_given_iterations(step: int, factor: float) -> None:
    recipe = Optimisation(warmup_steps=1000, warmup_from=0.001, drops=(60_000, 80_000))
    assert recipe.factor(0.9, step) == pytest.approx(factor)


def test_a_warm_up_in_iterations_goes_with_a_cosine_too() -> None:
    recipe = Optimisation(warmup_steps=10)
    assert [recipe.factor(0.0, 5), recipe.factor(0.5, 10)] == pytest.approx([0.5, 0.5])


def test_gradient_descent_decays_everything_with_momentum() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    recipe = Optimisation(method="sgd", lr=0.02, weight_decay=1e-4)
    optimizer = recipe.optimizer(net.parameters())
    assert type(optimizer) is torch.optim.SGD
    (group,) = optimizer.param_groups
    assert (len(group["params"]), group["momentum"], group["weight_decay"]) == (4, 0.9, 1e-4)


def test_only_weights_decay() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    decayed, others = Optimisation(weight_decay=0.1).optimizer(net.parameters()).param_groups
    assert (decayed["weight_decay"], [p.ndim for p in decayed["params"]]) == (0.1, [4])
    assert (others["weight_decay"], [p.ndim for p in others["params"]]) == (0.0, [1, 1, 1])


def test_frozen_parameters_are_left_to_nobody() -> None:
    net = nn.Linear(2, 2)
    net.weight.requires_grad_(False)
    groups = Optimisation().optimizer(net.parameters()).param_groups
    assert [len(group["params"]) for group in groups] == [0, 1]


def detector(
    *, step: int, max_steps: int = -1, planned: float = float("inf"), **timer: float
) -> Detector:
    """A detector in the middle of a run; `timer` holds the minutes done and allowed."""
    callbacks = []
    if timer:
        clock = Timer(timedelta(minutes=timer["allowed"]))
        clock.time_elapsed = lambda *_: 60 * timer["done"]
        callbacks.append(clock)
    model = Detector(num_classes=1)
    model._trainer = SimpleNamespace(
        global_step=step,
        max_steps=max_steps,
        estimated_stepping_batches=planned,
        callbacks=callbacks,
    )
    return model


def test_progress_is_the_share_of_the_steps() -> None:
    assert detector(step=30, max_steps=120).progress() == 0.25


def test_progress_follows_the_epochs_when_no_steps_are_given() -> None:
    assert detector(step=30, planned=300).progress() == pytest.approx(0.1)


def test_progress_is_the_share_of_the_time_in_an_endless_run() -> None:
    assert detector(step=30, done=1, allowed=4).progress() == pytest.approx(0.25)


def test_progress_takes_what_ends_first() -> None:
    assert detector(step=90, max_steps=120, done=1, allowed=4).progress() == 0.75
    assert detector(step=12, max_steps=120, done=3, allowed=4).progress() == pytest.approx(0.75)


def test_progress_ends_at_one() -> None:
    assert detector(step=30, done=5, allowed=4).progress() == 1.0


def test_the_minutes_left_are_reckoned_from_where_a_resumed_run_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = iter([100.0, 220.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(seconds))
    model = detector(step=60, max_steps=120)
    model.on_train_start()
    assert model._minutes_left() == 0.0  # not known yet
    model._trainer.global_step = 80  # 20 steps in 2 minutes, 40 to go
    assert model._minutes_left() == 4.0


def test_there_is_no_progress_without_a_trainer() -> None:
    assert Detector(num_classes=1).progress() == 0.0


def test_the_rate_of_the_optimiser_follows_the_progress() -> None:
    model = detector(step=60, max_steps=120)
    configured = model.configure_optimizers()
    (rate, _) = configured["lr_scheduler"]["scheduler"].get_last_lr()
    assert rate == pytest.approx(model.optimisation.lr * model.optimisation.factor(0.5))


def test_gradients_are_clipped_to_the_norm_of_the_recipe() -> None:
    model = Detector(num_classes=1, optimisation=Optimisation(clip=2.0))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    model.configure_gradient_clipping(torch.optim.SGD(model.parameters(), 0.1))
    squares = sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None)
    assert squares**0.5 == pytest.approx(2.0, rel=1e-3)


def test_without_a_limit_gradients_are_left_alone() -> None:
    model = Detector(num_classes=1, optimisation=Optimisation(clip=None))
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 100.0)
    model.configure_gradient_clipping(torch.optim.SGD(model.parameters(), 0.1))
    assert all(bool((p.grad == 100).all()) for p in model.parameters() if p.grad is not None)


def test_the_rate_follows_the_iterations_where_it_falls_by_them() -> None:
    model = detector(step=60, max_steps=120)
    model.optimisation = Optimisation(warmup_steps=0, drops=(50, 70))
    schedule = model.configure_optimizers()["lr_scheduler"]["scheduler"]
    assert schedule.get_last_lr()[0] == pytest.approx(0.1 * model.optimisation.lr)


def test_an_unknown_model_is_named_with_those_there_are() -> None:
    with pytest.raises(
        ValueError, match=r"no model named 'resnet'; there are .*tensormask_small_fpn"
    ):
        Detector(name="resnet")


def test_labels_have_numbers_where_names_are_missing() -> None:
    assert Detector(num_classes=3).class_names == ("1", "2", "3")


def test_rates_need_not_fall_by_tenths() -> None:
    recipe = Optimisation(warmup_steps=0, drops=(200, 480), rates=(0.5, 0.1))
    assert [recipe.factor(0, step) for step in (0, 199, 200, 479, 480)] == [1, 1, 0.5, 0.5, 0.1]


def test_a_rate_without_its_drop_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one for each of drops=\(200,\), got \(0.5, 0.1\)"):
        Optimisation(drops=(200,), rates=(0.5, 0.1))
