"""Rows on one trunk: what they share, and that each is computed as it would be alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tensormask_zoo.ablations.joint import Joint, once_per_input
from tensormask_zoo.models import tensormask_small_fpn

BOXES = [[4, 4, 30, 40], [40, 10, 80, 50], [20, 20, 60, 60]]
ROWS: dict[str, dict[str, Any]] = {
    "bipyramid": {"sigma_vu": 4},
    "binary": {"sigma_vu": 4, "mask_targets": "binary"},
    "upscaled": {"head": "upscale_aligned", "lam": 3},
    "two_sizes": {"sigma_vu": 4, "windows": [[9, 9], [6, 6]]},
    "other_rule": {"sigma_vu": 4, "rule": {"centrality_unit": 4.0}},
    "no_boxes": {"sigma_vu": 4, "box_head": False},
}


@pytest.fixture
def joint() -> Joint:
    torch.manual_seed(0)
    limits = {"score_threshold": 0.011, "detections": 5}
    models = {
        name: tensormask_small_fpn(num_classes=3, channels=16, limits=limits, **settings)
        for name, settings in ROWS.items()
    }
    joint = Joint(models, {"read": ("bipyramid", "mask_boxes"), "absent": ("simple", "boxes")})
    with torch.no_grad():  # scores that differ, masks that are not empty
        for model in models.values():
            model.class_box_head.logits.weight *= 20
            model.mask_head.cells[0].weight *= 50
    return joint


@pytest.fixture
def batch(objects: Callable[..., Any]) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    torch.manual_seed(1)
    targets = [objects(BOXES), objects(BOXES[:1], (64, 64))]
    return [torch.rand(3, *target["masks"].shape[-2:]) for target in targets], targets


def test_rows_share_the_trunk_and_heads_of_their_kind(joint: Joint) -> None:
    rows = joint.rows
    assert len({id(row.backbone) for row in rows.values()}) == 1
    head = rows["bipyramid"].class_box_head
    sharing = {name for name, row in rows.items() if row.class_box_head is head}
    assert sharing == {"bipyramid", "binary", "upscaled"}
    assert len({id(row.mask_head) for row in rows.values()}) == len(rows)


def test_the_loss_is_the_mean_of_the_rows_own(joint: Joint, batch: Any) -> None:
    joint.eval()  # so that no statistics change in between
    with torch.no_grad():
        alone = [row.losses(*batch) for row in joint.rows.values()]
        together = joint(*batch)
    for name, value in together.items():
        expected = sum(losses.get(name, 0.0) for losses in alone) / len(alone)
        assert float(value) == pytest.approx(float(expected), rel=1e-5), name


def test_a_mask_head_learns_from_its_own_row_alone(joint: Joint, batch: Any) -> None:
    def gradient(seen: Joint) -> Tensor:
        weight = seen.rows["bipyramid"].mask_head.cells[0].weight
        loss = torch.stack([*seen(*batch).values()]).sum() * len(seen.rows)
        return torch.autograd.grad(loss, weight)[0]

    joint.eval()
    alone = Joint({"bipyramid": joint.rows["bipyramid"]})
    assert torch.allclose(gradient(joint), gradient(alone), rtol=1e-4, atol=1e-7)


def test_detections_are_those_of_each_row_alone(joint: Joint, batch: Any) -> None:
    joint.eval()
    images, _ = batch
    together = joint.detect(images)
    assert set(together) == {*ROWS, "read"}
    for name, row in joint.rows.items():
        with torch.no_grad():
            alone = row.detect(images)
        for (found, masks), (expected, expected_masks) in zip(together[name], alone, strict=True):
            assert torch.equal(found.boxes, expected.boxes)
            assert len(found.boxes) > 0
            for mine, other in zip(masks, expected_masks, strict=True):
                assert torch.equal(mine.probabilities, other.probabilities)


def test_a_reading_compares_other_boxes_with_the_same_weights(joint: Joint, batch: Any) -> None:
    joint.eval()
    found = joint.detect(batch[0])
    row, reading = joint.rows["bipyramid"], joint.readings["read"]
    assert (row.limits.nms, reading.limits.nms) == ("boxes", "mask_boxes")
    assert reading.mask_head is row.mask_head
    assert not torch.equal(found["bipyramid"][0][0].boxes, found["read"][0][0].boxes)


class Counting(torch.nn.Module):
    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + 1


def test_an_input_is_computed_once_inside_the_block() -> None:
    module = Counting()
    with once_per_input(module):
        first, again, other = (module(x) for x in (torch.zeros(2), torch.zeros(2), torch.ones(2)))
    assert first is again
    assert torch.equal(other, torch.full((2,), 2.0))
    assert module.calls == 2
    module(torch.zeros(2))
    assert module.calls == 3
