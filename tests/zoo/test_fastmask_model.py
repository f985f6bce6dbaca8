"""FastMask as a detector: published sizes, losses in training, proposals in evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tensormask_core.masks import decode, mask_iou
from tensormask_zoo.evaluation import ImageResult
from tensormask_zoo.fastmask import (
    FastMask,
    fastmask_pvanet,
    fastmask_resnet39,
    fastmask_small,
    fastmask_vgg16,
)
from tensormask_zoo.fastmask.heads import CAFFE_GAIN
from tensormask_zoo.fastmask.initialisation import STANDARD_DEVIATIONS
from tensormask_zoo.fastmask.learning import Learning

LOSSES = {"loss_score", "loss_mask", "loss_attention"}
BOXES = [[4, 4, 30, 28], [40, 8, 92, 60]]
HEADS = 2_622_720 + 131_072 + 7_080_449 + 1_280_100 + 7_374_400 + 1_280  # zoo-facts 4.2


def parameters(model: torch.nn.Module, *, trained: bool = False) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trained)


def on_meta(build: Callable[..., FastMask], **settings: Any) -> FastMask:
    with torch.device("meta"):
        return build(**settings)


def images(count: int, size: tuple[int, int] = (64, 96), seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(3, *size, generator=generator) for _ in range(count)]


def model(**settings: Any) -> FastMask:
    torch.manual_seed(0)
    return fastmask_small(**settings)


@pytest.fixture(scope="module")
def detector() -> FastMask:
    """Return an untrained model whose scores and masks differ much between windows."""
    found = model()
    with torch.no_grad():
        found.window_norm.weight *= 6
        found.head.mask_fc2.weight *= 6
    return found.eval()


def propose(detector: FastMask, pictures: list[Tensor]) -> list[dict[str, Tensor]]:
    with torch.no_grad():
        found: list[dict[str, Tensor]] = detector(pictures)
    return found


def losses(detector: FastMask, *batch: Any) -> dict[str, float]:
    torch.manual_seed(1)
    found: dict[str, Tensor] = detector(*batch)
    return {name: value.item() for name, value in found.items()}


def test_two_streams_on_resnet39_have_the_published_number_of_parameters() -> None:
    assert parameters(on_meta(fastmask_resnet39)) == 27_033_381
    frozen = on_meta(fastmask_resnet39, norm="frozen")
    assert parameters(frozen) == 27_033_381
    assert parameters(frozen, trained=True) == 27_002_789


def test_one_stream_needs_the_same_parameters() -> None:
    assert parameters(on_meta(fastmask_resnet39, zooms=(3,))) == 27_033_381


@pytest.mark.parametrize(
    ("build", "neck", "attention", "count"),
    [
        (fastmask_resnet39, "average", True, 27_033_381 - 2_622_720),
        (fastmask_resnet39, "max", True, 27_033_381 - 2_622_720),
        (fastmask_resnet39, "feed_forward", True, 27_033_381),
        (fastmask_resnet39, "residual", False, 27_033_381 - 1_280_100),
        (fastmask_vgg16, "residual", True, 14_714_688 + HEADS - (512 * (9 * 256 + 256 + 1 + 128))),
        (fastmask_pvanet, "average", True, 1_068_032 + HEADS - 2_622_720 - 768 * 128),
    ],
)
def test_other_bodies_necks_and_heads_differ_by_what_they_lack(
    build: Any, neck: str, attention: bool, count: int
) -> None:
    assert parameters(on_meta(build, neck=neck, attention=attention)) == count


def test_maps_and_windows_have_the_published_shapes() -> None:
    network = on_meta(fastmask_resnet39)
    maps = network.maps(torch.zeros(1, 3, 600, 800, device="meta"))
    assert list(maps) == [16, 24, 32, 48, 64, 96, 128]
    for stride, x in maps.items():
        assert x.shape == (1, 128, -(-600 // stride), -(-800 // stride))
    grid = network.grid((600, 800))
    assert [level.count for level in grid.levels] == [
        (-(-600 // stride) + 1) * (-(-800 // stride) + 1) for stride in maps
    ]


def test_evaluation_has_eight_scales_and_training_seven() -> None:
    network = on_meta(fastmask_pvanet)
    assert len(network.strides) == 7
    assert network.eval().strides == (16, 24, 32, 48, 64, 96, 128, 192)


def test_necks_and_streams_can_be_added_and_removed_after_training(detector: FastMask) -> None:
    before = detector.eval_zooms
    for zooms, scales in (((4, 4), 10), ((3,), 4), ((0, 0), 2)):
        detector.set_eval_zooms(*zooms)
        assert len(detector.strides) == scales == len(detector.maps(torch.rand(1, 3, 32, 32)))
    detector.set_eval_zooms(*before)
    with pytest.raises(ValueError, match=r"each of 1 to 2 streams, got \(1, 1, 1\)"):
        detector.set_eval_zooms(1, 1, 1)
    with pytest.raises(ValueError, match=r"got \(\)"):
        detector.set_eval_zooms()


def test_fewer_scales_leave_the_maps_of_the_others_as_they_are(detector: FastMask) -> None:
    x = torch.rand(1, 3, 48, 64)
    with torch.no_grad():
        every = detector.maps(x)
        detector.set_eval_zooms(3)
        one = detector.maps(x)
        detector.set_eval_zooms(3, 2)
    assert all(torch.equal(every[stride], found) for stride, found in one.items())


def test_a_stream_left_out_is_not_computed(
    detector: FastMask, monkeypatch: pytest.MonkeyPatch
) -> None:
    strides, upper = [], detector.body.upper.forward
    monkeypatch.setattr(
        detector.body.upper, "forward", lambda x, stride: strides.append(stride) or upper(x, stride)
    )
    monkeypatch.setattr(detector, "eval_zooms", (3,))
    detector.maps(torch.zeros(1, 3, 16, 16))
    assert strides == [2]


def test_training_returns_finite_losses_near_chance(objects: Any) -> None:
    found = losses(model(), images(2), [objects(BOXES), objects([])])
    assert found.keys() == LOSSES
    assert all(0.5 < value < 1.2 for value in found.values())


def test_the_standard_head_has_no_loss_of_attention(objects: Any) -> None:
    found = losses(model(attention=False), images(1), [objects(BOXES)])
    assert found.keys() == LOSSES - {"loss_attention"}


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
    (proposals,) = propose(network.eval(), [image])
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


def test_compat_sets_what_the_paper_says(objects: Any) -> None:
    learning = model(compat="paper", sampling={"positives": 8}).learning
    assert learning.rule == Learning.paper().rule
    assert (learning.divide_by, learning.sampling.positives) == ("windows", 8)


def test_proposals_have_the_types_and_ranges_of_torchvision(detector: FastMask) -> None:
    (found,) = propose(detector, images(1))
    count = len(found["boxes"])
    assert 20 < count <= 100
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


@pytest.mark.parametrize(
    "build", [fastmask_resnet39, fastmask_vgg16, fastmask_pvanet, fastmask_small]
)
def test_classes_are_refused(build: Any) -> None:
    with pytest.raises(ValueError, match=r"num_classes expects 1, got 80; .* merge the classes"):
        on_meta(build, num_classes=80)


@pytest.mark.parametrize("build", [fastmask_pvanet, fastmask_small])
def test_weights_that_do_not_exist_are_refused(build: Any) -> None:
    with pytest.raises(ValueError, match="weights_backbone expects None, got 'DEFAULT'"):
        build(weights_backbone="DEFAULT")


def test_training_without_targets_is_refused() -> None:
    with pytest.raises(ValueError, match="training expects targets, got None"):
        model()(images(1))


@pytest.mark.parametrize("threshold", [0, 1])
def test_a_mask_threshold_is_a_probability(threshold: float) -> None:
    with pytest.raises(ValueError, match=rf"probability in \(0, 1\), got {threshold}"):
        model(mask_threshold=threshold)


@pytest.mark.parametrize(("name", "value"), [("init", "xavier"), ("compat", "caffe")])
def test_an_unknown_word_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} expects .* got '{value}'"):
        model(**{name: value})


def test_published_weights_start_narrow() -> None:
    network = model(init="published", hidden=64)
    deviations = {name: p.std().item() for name, p in network.named_parameters() if p.dim() > 1}
    for name, expected in STANDARD_DEVIATIONS.items():
        found = [d for n, d in deviations.items() if n.startswith(name)]
        assert found
        assert found == pytest.approx([expected] * len(found), rel=0.2)
    assert network.head.mask_norm.gain == CAFFE_GAIN


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'necks'"):
        model(necks=3)
