"""InstanceFCN's proposals: windows of all scales, candidates, tight boxes, NMS, and the API."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tensormask_core import Aligned
from tensormask_core.assign import DeepMaskRule
from tensormask_zoo.evaluation import ImageResult
from tensormask_zoo.instancefcn import InstanceFCN
from tensormask_zoo.instancefcn.builders import instancefcn_small, instancefcn_vgg16
from tensormask_zoo.instancefcn.proposals import (
    PROPOSALS,
    Candidates,
    best_windows,
    propose,
)
from tensormask_zoo.tensormask.postprocess import PostProcess
from tensormask_zoo.tensormask.results import as_rles, boxes_of_masks


@pytest.fixture(scope="module")
def model() -> InstanceFCN:
    """An untrained model with lively score maps, in evaluation mode."""
    return lively()


def lively(**settings: Any) -> InstanceFCN:
    torch.manual_seed(0)
    model = instancefcn_small(**{"limits": {"detections": 20, "candidates": 300}} | settings)
    with torch.no_grad():
        model.head.segments[2].weight *= 100
        model.head.objectness[2].weight *= 30
    return model.eval()


def images(count: int, size: tuple[int, int] = (64, 96)) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(3, *size, generator=generator) for _ in range(count)]


@torch.no_grad()
def detect(model: InstanceFCN, pictures: list[Tensor]) -> list[dict[str, Tensor]]:
    found: list[dict[str, Tensor]] = model(pictures)
    return found


def candidates(scores: list[float], boxes: list[list[float]]) -> Candidates:
    window = torch.arange(len(scores)) + 7
    return Candidates(window, torch.tensor(scores), torch.tensor(boxes))


def test_windows_of_a_scale_are_168_px_of_it() -> None:
    with torch.device("meta"):
        model = instancefcn_vgg16()
    levels = model.grid((300, 400)).levels
    assert [(level.height, level.width) for level in levels] == [
        (15, 20), (23, 30), (34, 45), (50, 67), (75, 100), (113, 150),
    ]  # fmt: skip
    assert levels[4].windows_px == ((84, 84),)
    assert (levels[4].sigma_hw, levels[4].offset_px) == (4, (2, 2))


@torch.no_grad()
def test_every_window_of_every_scale_has_a_score(model: InstanceFCN) -> None:
    model = lively(limits={"candidates": 10**6, "detections": 10**6, "nms_iou": 1.0})
    ((found, _),) = model.detect(images(1, (61, 83)))
    grid = model.grid((61, 83))
    assert len(grid.levels) == 6
    assert len(found.window.unique()) == len(found.window) <= len(grid)
    assert len(found.window) > 0.9 * len(grid)


@torch.no_grad()
def test_an_object_is_found_where_it_was_drawn() -> None:
    """Score maps and objectness painted by hand: a blob in the middle of a scaled image."""
    model = lively(scales={"factors": [0.5]}, limits={"detections": 1})

    def paint(features: Tensor) -> tuple[Aligned[Tensor], Tensor]:
        extent = features.shape[-2:]
        maps, objectness = torch.full((1, 5, 5, *extent), -3.0), torch.zeros(1, *extent)
        maps[..., 6:10, 7:12] = 3.0
        objectness[:, 8, 9] = 2.0
        return Aligned(maps, sigma_vu=12, sigma_hw=4), objectness

    model.head.forward = paint
    (found,) = detect(model, [torch.zeros(3, 160, 176)])
    # Nodes of 4 px at half size: rows 6 to 9 are px 48 to 79.
    assert found["boxes"].tolist() == [[56, 48, 96, 80]]
    inside = found["masks"][0, 0] >= 0.5
    ys, xs = inside.nonzero().T
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (48, 79, 56, 95)
    assert found["scores"].item() == pytest.approx(torch.tensor(2.0).sigmoid().item())


@torch.no_grad()
def test_sparse_and_dense_inference_agree() -> None:
    (picture,) = images(1, (61, 83))
    sparse, dense = (detect(lively(assembly=one), [picture])[0] for one in ("sparse", "dense"))
    assert len(sparse["boxes"]) == 20
    assert all(torch.equal(sparse[name], dense[name]) for name in sparse)


def test_candidates_are_the_best_of_all_scales() -> None:
    logits = torch.tensor([-1.0, 2.0, 0.5, -3.0, 2.0])
    window, scores = best_windows(logits, PostProcess(candidates=3, score_threshold=0.5))
    assert window.tolist() == [1, 4, 2]
    assert torch.equal(scores, logits[window].sigmoid())
    few, _ = best_windows(logits, PostProcess(candidates=9, score_threshold=0.7))
    assert few.tolist() == [1, 4]


def test_boxes_are_tight_around_masks() -> None:
    masks = torch.zeros(2, 3, 4, dtype=torch.bool)
    masks[0, 1:, 2] = True
    boxes = boxes_of_masks(masks, torch.tensor([[8.0, 6, 16, 12], [0, 0, 4, 3]]))
    assert boxes.tolist() == [[12, 8, 14, 12], [0, 0, 0, 0]]


def test_empty_masks_and_those_outside_the_image_are_no_proposals() -> None:
    masks = torch.zeros(3, 2, 2, dtype=torch.bool)
    masks[1, 1, 1] = masks[2, 0, 0] = True
    given = candidates([0.9, 0.8, 0.7], [[0, 0, 8, 8], [0, 0, 8, 8], [-4, -4, 4, 4]])
    found, kept = propose(masks, given, (10, 10), PROPOSALS)
    assert (found.window.tolist(), kept.tolist()) == ([8], [1])
    assert found.boxes.tolist() == [[4, 4, 8, 8]]


@pytest.mark.parametrize(("shift", "proposals"), [(2.0, 1), (3.0, 2)])
def test_boxes_that_overlap_by_more_than_0_8_are_duplicates(shift: float, proposals: int) -> None:
    """Of 20 px squares; 2 px apart they overlap by 18/22 = 0.82, 3 px by 17/23 = 0.74."""
    boxes = [[0.0, 0, 20, 20], [shift, 0, 20 + shift, 20]]
    found, _ = propose(
        torch.ones(2, 3, 3, dtype=torch.bool), candidates([0.6, 0.5], boxes), (99, 99), PROPOSALS
    )
    assert len(found.window) == proposals


def test_proposals_have_the_types_and_ranges_of_torchvision(model: InstanceFCN) -> None:
    (found,) = detect(model, images(1))
    count = len(found["boxes"])
    assert 5 < count <= 20
    assert found["labels"].tolist() == [1] * count
    assert found["masks"].shape == (count, 1, 64, 96)
    assert 0 <= found["masks"].min() < 0.5 < found["masks"].max() <= 1
    assert (found["scores"].diff() <= 0).all()
    x0, y0, x1, y1 = found["boxes"].T
    assert ((x0 >= 0) & (y0 >= 0) & (x1 <= 96) & (y1 <= 64) & (x1 > x0) & (y1 > y0)).all()


def test_a_batch_gives_the_results_of_its_images(model: InstanceFCN) -> None:
    pictures = images(1, (64, 96)) + images(1, (33, 45)) + images(1, (1, 90))
    for together, picture in zip(detect(model, pictures), pictures, strict=True):
        (alone,) = detect(model, [picture])
        assert all(torch.equal(together[name], alone[name]) for name in alone)
        assert together["masks"].shape[-2:] == picture.shape[-2:]


@torch.no_grad()
def test_boxes_enclose_the_pasted_masks_to_half_a_node(model: InstanceFCN) -> None:
    ((found, (masks,)),) = model.detect(images(1))
    assert masks.rows.tolist() == list(range(len(found.boxes)))
    assert masks.probabilities.shape[1:] == (15, 15)
    node = (masks.boxes[:, 2] - masks.boxes[:, 0]) / 15
    for row, rle in enumerate(as_rles(found, [masks], (64, 96))):
        from pycocotools.mask import toBbox  # noqa: PLC0415  (an optional dependency)

        x, y, w, h = toBbox(rle)
        gap = found.boxes[row] - torch.tensor([x, y, x + w, y + h])
        assert gap.abs().max() <= node[row] / 2 + 1


@torch.no_grad()
def test_windows_are_where_the_grid_says(model: InstanceFCN) -> None:
    ((found, (masks,)),) = model.detect(images(1))
    expected = model.grid((64, 96)).boxes(found.window.numpy())
    assert torch.allclose(masks.boxes, torch.from_numpy(expected).float())


@torch.no_grad()
def test_the_evaluator_takes_proposals(model: InstanceFCN) -> None:
    (picture,) = images(1)
    ((found, masks),) = model.detect([picture])
    records = ImageResult.of(found, masks, picture).records(3)
    assert len(records) == len(found.boxes)


@torch.no_grad()
def test_a_lower_mask_threshold_makes_masks_larger() -> None:
    strict, lax = (
        lively(mask_threshold=t, limits={"detections": 10, "nms_iou": 1.0}) for t in (0.8, 0.2)
    )
    ((small, (few,)),) = strict.detect(images(1))
    ((large, (many,)),) = lax.detect(images(1))
    same = (small.window[:, None] == large.window).nonzero().T
    assert same.shape[1] > 3
    assert ((few.probabilities[same[0]] > 0.5) <= (many.probabilities[same[1]] > 0.5)).all()
    assert few.probabilities[same[0]].mean() < many.probabilities[same[1]].mean()


def test_nothing_found_is_an_empty_result() -> None:
    (found,) = detect(lively(limits={"score_threshold": 0.9999}), images(1))
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        "boxes": (0, 4), "labels": (0,), "scores": (0,), "masks": (0, 1, 64, 96),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mask_threshold": 0.0}, r"a probability in \(0, 1\), got 0.0"),
        ({"assembly": "loose"}, "assembly expects 'sparse' or 'dense', got 'loose'"),
    ],
)
def test_models_that_do_not_exist_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        instancefcn_small(**settings)


def test_trunk_and_head_share_a_stride() -> None:
    small = instancefcn_small()
    with torch.device("meta"):
        large = instancefcn_vgg16()
    with pytest.raises(ValueError, match="head expects the trunk's stride 4, got 8"):
        InstanceFCN(small.trunk, large.head)


def test_settings_may_be_plain_values() -> None:
    model = instancefcn_small(
        scales={"short_sides": [96, 128]},
        sampling={"windows": 32, "rule": {"object_px": 100.0}},
        loss={"pixels": "sum"},
        limits={"detections": 5},
    )
    assert model.scales.of((64, 96)) == (1.5, 2.0)
    assert model.sampling.rule == replace(DeepMaskRule.paper(), object_px=100.0)
    assert (model.sampling.windows, model.loss.pixels) == (32, "sum")
    assert (model.limits.detections, model.limits.nms_iou) == (5, 0.8)
