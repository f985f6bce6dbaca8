"""FastMask in training: its losses, and that they teach."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tensormask_core.masks import mask_iou
from tensormask_zoo.fastmask import FastMask, fastmask_small
from tensormask_zoo.fastmask.learning import Learning

LOSSES = {"loss_score", "loss_mask", "loss_attention"}
BOXES = [[4, 4, 30, 28], [40, 8, 92, 60]]


def images(count: int, size: tuple[int, int] = (64, 96), seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(3, *size, generator=generator) for _ in range(count)]


def model(**settings: Any) -> FastMask:
    torch.manual_seed(0)
    return fastmask_small(**settings)


def losses(detector: FastMask, *batch: Any) -> dict[str, float]:
    torch.manual_seed(1)
    found: dict[str, Tensor] = detector(*batch)
    return {name: value.item() for name, value in found.items()}


def test_training_returns_finite_losses_near_chance(objects: Any) -> None:
    found = losses(model(), images(2), [objects(BOXES), objects([])])
    assert found.keys() == LOSSES
    assert all(0.5 < value < 1.2 for value in found.values())


def test_the_standard_head_has_no_loss_of_attention(objects: Any) -> None:
    found = losses(model(attention=False), images(1), [objects(BOXES)])
    assert found.keys() == LOSSES - {"loss_attention"}


def test_the_head_runs_on_sampled_windows_only(
    objects: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, seen = model(sampling={"positives": 5, "negatives": 7}), {}
    for name in ("score", "attend"):
        run = getattr(network.head, name)
        monkeypatch.setattr(
            network.head, name, lambda w, name=name, run=run: seen.update({name: len(w)}) or run(w)
        )
    losses(network, images(2), [objects(BOXES)] * 2)
    assert seen == {"score": 2 * (5 + 7), "attend": 2 * 5}


def test_every_parameter_learns(objects: Any) -> None:
    network = model()
    found: Any = network(images(1), [objects(BOXES)])
    torch.stack(list(found.values())).sum().backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@pytest.mark.parametrize("neck", ["average", "residual"])
def test_a_few_steps_lower_the_losses(objects: Any, neck: str) -> None:
    network, batch, target = model(neck=neck), images(1), [objects(BOXES)]
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    course = []
    for _ in range(8):
        loss = torch.stack(list(network(batch, target).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        course.append(loss.item())
    assert course[-1] < 0.7 * course[0]


def test_a_handful_of_steps_finds_the_objects_of_an_image(objects: Any) -> None:
    network, target = model(), objects(BOXES)
    shown = target["masks"].float()
    image = 0.3 * images(1)[0] + 0.7 * torch.stack([shown[0], shown[1], torch.zeros(64, 96)])
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    for _ in range(20):
        found: Any = network([image], [target])
        optimizer.zero_grad()
        torch.stack(list(found.values())).sum().backward()
        optimizer.step()
    with torch.no_grad():
        (proposals,) = network.eval()([image])
    best = proposals["masks"][:10, 0] >= 0.5
    assert mask_iou(best, shown > 0).amax(dim=0).min() > 0.7


def test_losses_in_half_precision_are_close(objects: Any) -> None:
    exact = losses(model(), images(1), [objects(BOXES)])
    with torch.autocast("cpu", torch.bfloat16):
        half = losses(model(), images(1), [objects(BOXES)])
    assert half == pytest.approx(exact, rel=0.05)


def test_nothing_but_background_trains_no_mask(objects: Any) -> None:
    crowd = losses(model(), images(1), [objects(BOXES, iscrowd=[1, 1])])
    assert crowd == losses(model(), images(1), [objects([])])
    assert (crowd["loss_mask"], crowd["loss_attention"]) == (0, 0)


def test_a_batch_without_any_window_to_train_still_has_gradients(objects: Any) -> None:
    network = model()
    found: Any = network(images(1), [objects([])])
    total = torch.stack(list(found.values())).sum()
    total.backward()
    assert total == 0
    assert all(p.grad is None or not p.grad.any() for p in network.parameters())


def test_labels_are_not_looked_at(objects: Any) -> None:
    target = objects(BOXES)
    other = target | {"labels": torch.tensor([70, 0])}
    assert losses(model(), images(1), [target]) == losses(model(), images(1), [other])


def test_losses_are_the_cross_entropies_of_the_drawn_windows(objects: Any) -> None:
    """Window by window, with the goals and the table of the model but none of its sums."""
    network, batch = model(), [objects([]), objects(BOXES)]
    found = losses(network, images(2), batch)
    torch.manual_seed(1)
    grid = network.grid((64, 96))
    learnt = [network.learning.of(grid, target, network.head) for target in batch]
    with torch.no_grad():
        table = network.window_table(*padded(network, images(2)))
        seen = table.windows(learnt[1].rows(table, 1))
        score = network.head.score(seen)
        positive = seen[: len(learnt[1].masks)]
        attention, attended = network.head.attend(positive)
        masks = network.head.masks(attended, stride=1).data[..., 0, 0]
    labels = torch.zeros(len(seen))
    labels[: len(positive)] = 1
    goals = {
        "loss_score": (score, labels),
        "loss_attention": (attention, learnt[1].attention),
        "loss_mask": (masks, learnt[1].masks),
    }
    for name, (logits, goal) in goals.items():
        cells = -(goal * logits.sigmoid().log() + (1 - goal) * (-logits).sigmoid().log())
        assert found[name] == pytest.approx(cells.mean().item(), rel=1e-4), name


def padded(network: FastMask, pictures: list[Tensor]) -> tuple[Tensor, list[tuple[int, int]]]:
    batch, _ = network.transform(pictures)
    return batch.tensors, batch.image_sizes


@pytest.mark.parametrize(("soft", "values"), [(True, 3), (False, 2)])
def test_mask_goals_are_soft_or_binary(objects: Any, soft: bool, values: int) -> None:
    network = model(soft_targets=soft)
    learnt = network.learning.of(network.grid((64, 96)), objects(BOXES), network.head)
    assert min(len(learnt.masks.unique()), 3) == values


def test_the_paper_divides_by_all_windows(objects: Any) -> None:
    batch, target = images(1), [objects(BOXES)]
    code, paper = (losses(model(divide_by=d), batch, target) for d in ("sampled", "windows"))
    windows = len(model().grid((64, 96)))
    torch.manual_seed(1)
    learnt = Learning().of(model().grid((64, 96)), target[0], model().head)
    sampled, positive = len(learnt.sample.window), len(learnt.sample.object)
    assert paper["loss_score"] == pytest.approx(code["loss_score"] * sampled / windows, rel=1e-4)
    for name in ("loss_mask", "loss_attention"):
        assert paper[name] == pytest.approx(code[name] * positive / windows, rel=1e-4)


def test_training_without_targets_is_refused() -> None:
    with pytest.raises(ValueError, match="training expects targets, got None"):
        model()(images(1))
