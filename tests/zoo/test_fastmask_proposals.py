"""FastMask in evaluation: proposals as torchvision's detectors return them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tensormask_core.masks import decode
from tensormask_zoo.evaluation import ImageResult
from tensormask_zoo.fastmask import FastMask, fastmask_small


def images(count: int, size: tuple[int, int] = (64, 96), seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(3, *size, generator=generator) for _ in range(count)]


def model(**settings: Any) -> FastMask:
    torch.manual_seed(0)
    return fastmask_small(**settings)


@pytest.fixture(scope="module")
def detector() -> FastMask:
    """Return an untrained model whose scores and masks differ much between windows."""
    found = model(mask_threshold=0.2)
    with torch.no_grad():
        found.window_norm.weight *= 6
        found.head.mask_fc2.weight *= 6
    return found.eval()


def propose(detector: FastMask, pictures: list[Tensor]) -> list[dict[str, Tensor]]:
    with torch.no_grad():
        found: list[dict[str, Tensor]] = detector(pictures)
    return found


def padded(network: FastMask, pictures: list[Tensor]) -> tuple[Tensor, list[tuple[int, int]]]:
    batch, _ = network.transform(pictures)
    return batch.tensors, batch.image_sizes


def test_proposals_have_the_types_and_ranges_of_torchvision(detector: FastMask) -> None:
    (found,) = propose(detector, images(1))
    count = len(found["boxes"])
    assert 20 < count <= detector.limits.detections
    assert found["labels"].tolist() == [1] * count
    assert found["masks"].shape == (count, 1, 64, 96)
    assert 0 <= found["masks"].min() < 0.5 < found["masks"].max() <= 1


def test_proposals_come_best_first_from_all_windows(detector: FastMask) -> None:
    ((found, _),) = detector.detect(images(1))
    assert (found.scores.diff() <= 0).all()
    assert len(set(found.window.tolist())) == len(found.window)
    levels = detector.grid((64, 96)).unravel(found.window.numpy()).level
    assert len(set(levels.tolist())) > 2


def test_a_proposal_is_its_window_decoded(detector: FastMask) -> None:
    ((found, masks),) = detector.detect(images(1))
    grid = detector.grid((64, 96))
    with torch.no_grad():
        table = detector.window_table(*padded(detector, images(1)))
        for group in masks:
            row = int(group.rows[0])
            window = found.window[row : row + 1].numpy()
            seen = table.windows(table.rows(0, grid.unravel(window)))
            logits = detector.head.masks(detector.head.attend(seen)[1], stride=1).data[0, ..., 0, 0]
            expected = (logits - torch.tensor(0.2).logit()).sigmoid()
            assert torch.allclose(group.probabilities[0], expected, atol=1e-4)
            assert torch.allclose(group.boxes[0].double(), torch.from_numpy(grid.boxes(window))[0])
            assert found.scores[row] == pytest.approx(detector.head.score(seen).sigmoid().item())


def test_proposals_are_evaluated_like_detections(detector: FastMask) -> None:
    (image,) = images(1)
    ((found, masks),) = detector.detect([image])
    result = ImageResult.of(found, masks, image)
    pasted = propose(detector, [image])[0]["masks"][:, 0] >= 0.5
    assert torch.equal(torch.from_numpy(decode(result.rles)), pasted)


def test_chunks_of_windows_give_the_results_of_all_at_once(detector: FastMask) -> None:
    found = {}
    for detector.chunk in (7, 256, 1_000_000):
        (found[detector.chunk],) = propose(detector, images(1))
    detector.chunk = 256
    for chunk in (7, 256):
        for name, value in found[chunk].items():
            assert torch.allclose(value, found[1_000_000][name], atol=1e-4), name


def test_the_head_never_sees_more_windows_than_a_chunk(
    detector: FastMask, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, score = [], detector.head.score
    monkeypatch.setattr(detector.head, "score", lambda w: seen.append(len(w)) or score(w))
    detector.detect(images(1))
    assert max(seen) == 256
    assert sum(seen) == len(detector.grid((64, 96)))


def test_a_batch_gives_the_results_of_its_images(detector: FastMask) -> None:
    pictures = images(2) + images(1, (50, 45)) + images(1, (49, 47))
    for together, picture in zip(propose(detector, pictures), pictures, strict=True):
        (alone,) = propose(detector, [picture])
        for name in ("boxes", "scores", "masks"):
            assert torch.allclose(together[name], alone[name], atol=1e-3), name


def test_a_box_is_that_of_its_mask(detector: FastMask) -> None:
    ((found, masks),) = detector.detect(images(1))
    for group in masks:
        for row, mask, window in zip(group.rows, group.probabilities, group.boxes, strict=True):
            cell = (window[2] - window[0]) / mask.shape[1]
            filled = (mask >= 0.5).nonzero()
            first, last = filled.min(dim=0).values, filled.max(dim=0).values + 1
            corners = torch.cat([first.flip(0), last.flip(0)]) * cell + window[[0, 1, 0, 1]]
            expected = corners.clamp(torch.zeros(4), torch.tensor([96, 64, 96, 64]))
            assert torch.allclose(found.boxes[row], expected, atol=1e-3)


def test_half_stands_for_the_threshold_of_masks(detector: FastMask) -> None:
    ((_, low),) = detector.detect(images(1))
    threshold, detector.threshold_logit = detector.threshold_logit, 0.0
    ((_, plain),) = detector.detect(images(1))
    detector.threshold_logit = threshold
    window = [group.probabilities[0] for group in (low[0], plain[0])]
    assert torch.equal(window[0] >= 0.5, window[1] >= 0.2)


def test_overlapping_masks_are_suppressed_when_asked_for(detector: FastMask) -> None:
    (every,) = propose(detector, images(1))
    limits = detector.limits
    detector.limits = type(limits)(score_threshold=0, candidates=100, nms_iou=0.5, detections=5)
    (few,) = propose(detector, images(1))
    detector.limits = limits
    assert len(few["scores"]) == 5
    assert few["scores"][0] == every["scores"][0]
    inside = (few["masks"][:, 0] >= 0.5).flatten(1).float()
    shared = inside @ inside.T
    area = inside.sum(dim=1)
    iou = shared / (area[:, None] + area - shared)
    assert (iou - torch.eye(5)).max() <= 0.5


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (33, 31)])
def test_an_image_may_be_smaller_than_every_window(
    detector: FastMask, size: tuple[int, int]
) -> None:
    (found,) = propose(detector, images(1, size))
    assert found["masks"].shape[1:] == (1, *size)
    assert (found["boxes"][:, 2:] <= torch.tensor(size[::-1])).all()


def test_no_window_above_the_threshold_is_an_empty_result() -> None:
    (found,) = propose(model(limits={"score_threshold": 1.0}).eval(), images(1))
    assert [tuple(found[k].shape) for k in ("boxes", "labels", "masks")] == [
        (0, 4), (0,), (0, 1, 64, 96),
    ]  # fmt: skip


def test_results_return_to_the_size_before_resizing(detector: FastMask) -> None:
    resizing = model(longest_side=192).eval()
    resizing.load_state_dict(detector.state_dict())
    picture = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    enlarged = torch.nn.functional.interpolate(picture, scale_factor=2, mode="bilinear")
    (large,), (small,) = (
        propose(m, list(x)) for m, x in ((detector, enlarged), (resizing, picture))
    )
    assert torch.allclose(small["boxes"][:10], large["boxes"][:10] / 2, atol=0.1)
