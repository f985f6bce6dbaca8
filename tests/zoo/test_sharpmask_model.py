"""SharpMask as a detector: two stages of training, coarse or refined masks from one network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tensormask_zoo.deepmask.trunk import small_trunk
from tensormask_zoo.deepmask.variants import deepmask, deepmask_small
from tensormask_zoo.sharpmask.model import SharpMask
from tensormask_zoo.sharpmask.variants import refined, sharpmask, sharpmask_small

BOX = [30, 20, 90, 60]
SIZE = (96, 128)


def small(rule: dict[str, Any] | None = None, **settings: Any) -> SharpMask:
    """A network of few channels, from random weights."""
    torch.manual_seed(0)
    base = deepmask(
        small_trunk(stem=4, widths=(6, 8)),
        window_px=64,
        features=8,
        vector=12,
        mask_cells=16,
        rule=rule,
        training={"batches": "joint"},
        inference={"scales": (0.5, 1.0), "proposals": 20},
    )
    model = refined(base, **({"design": {"k": 8}} | settings))
    for layer in (model.head.encode, model.head.decode, model.refiner.encode):
        torch.nn.init.normal_(layer.weight, std=0.3)
    return model


def image(size: tuple[int, int] = SIZE) -> Tensor:
    return torch.rand(3, *size, generator=torch.Generator().manual_seed(0))


def learning(model: SharpMask, objects: Any) -> set[str]:
    """The parts of the network that a training step gives gradients to."""
    found = model([image()], [objects([BOX], SIZE)])
    torch.stack(list(found.values())).sum().backward()
    return {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("stage", "losses", "parts"),
    [
        ("feedforward", {"loss_mask", "loss_score"}, {"trunk", "head"}),
        ("refinement", {"loss_refined"}, {"refiner"}),
        ("joint", {"loss_mask", "loss_refined", "loss_score"}, {"trunk", "head", "refiner"}),
    ],
)
def test_each_stage_trains_its_parts(
    objects: Any, stage: Any, losses: set[str], parts: set[str]
) -> None:
    model = small(stage=stage)
    assert model([image()], [objects([BOX], SIZE)]).keys() == losses
    assert learning(model, objects) == parts


def test_every_parameter_of_the_refiner_learns(objects: Any) -> None:
    model = small()
    learning(model, objects)
    unused = [n for n, p in model.refiner.named_parameters() if p.grad is None or not p.grad.any()]
    assert unused == []


def test_the_encoding_may_stay_as_it_is(objects: Any) -> None:
    model = small(train_encoding=False)
    learning(model, objects)
    assert model.refiner.encode.weight.grad is None
    assert model.refiner.steps[0].of_mask.weight.grad is not None


def test_what_is_frozen_does_not_change_in_any_way(objects: Any) -> None:
    model = small()
    before = {n: x.clone() for n, x in model.state_dict().items() if "refiner" not in n}
    model.train()
    model([image()], [objects([BOX], SIZE)])
    after = model.state_dict()
    assert all(torch.equal(after[name], x) for name, x in before.items())  # statistics too
    assert not model.trunk.training
    assert model.refiner.training


def test_stages_follow_each_other(objects: Any) -> None:
    model = small(stage="feedforward")
    assert model.trunk.training
    model.set_stage("refinement")
    assert learning(model, objects) == {"refiner"}
    model.set_stage("joint")
    assert model.trunk.training
    with pytest.raises(ValueError, match="stage expects one of feedforward, refinement, joint"):
        model.set_stage("both")  # type: ignore[arg-type]  # the point


def test_a_step_without_objects_trains_nothing(objects: Any) -> None:
    found = small()([image()], [objects([], SIZE)])
    assert found == {"loss_refined": 0}
    found["loss_refined"].backward()


def test_a_few_steps_of_refinement_lower_the_loss(objects: Any) -> None:
    model, target = small(rule={"shift_px": 0, "octaves": 0, "flip": 0}), objects([BOX], SIZE)
    picture = target["masks"][0].float().expand(3, *SIZE)
    optimizer = torch.optim.AdamW(model.refiner.parameters(), 3e-3)
    course = []
    for _ in range(12):
        loss = model([picture], [target])["loss_refined"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        course.append(loss.item())
    assert course[-1] < 0.75 * course[0]


@torch.no_grad()
def test_one_network_gives_refined_masks_or_coarse_ones() -> None:
    model = small().eval()
    sharp, _ = model.dense(image())
    model.refine = False
    coarse, _ = model.dense(image())
    assert sharp.window_size == (64, 64)
    assert coarse.window_size == (16, 16)
    assert sharp.window_extent == coarse.window_extent == (64, 64)


@torch.no_grad()
def test_coarse_masks_are_those_of_the_deepmask_that_was_refined() -> None:
    torch.manual_seed(0)
    base = deepmask_small().eval()
    model = refined(base, refine=False).eval()
    ((one, masks),), ((other, same),) = base.detect([image()]), model.detect([image()])
    assert torch.allclose(one.scores, other.scores)  # the last bit of a sigmoid is not fixed
    assert torch.allclose(masks[0].probabilities, same[0].probabilities)


@pytest.mark.parametrize("execution", ["refactored", "concatenated"])
@torch.no_grad()
def test_windows_inside_the_image_are_refined_as_patches(execution: Any) -> None:
    model = small({"context_px": 64}, skip_context=True, execution=execution).eval()
    picture = image((224, 240))
    masks, _ = model.dense(picture)
    for y, x in [(12, 12), (14, 13), (16, 18)]:  # centred on 8 y, 8 x; 96 px to each side
        patch = picture[:, 8 * y - 96 : 8 * y + 96, 8 * x - 96 : 8 * x + 96]
        mask, _ = model.predict_patches(patch[None])
        assert torch.allclose(mask[0], masks.data[:, :, y, x], atol=1e-4)


@torch.no_grad()
def test_patches_without_context_differ_at_their_border_only() -> None:
    with_context, without = (
        small({"context_px": 64}, skip_context=seen).eval() for seen in (True, False)
    )
    patch = torch.rand(1, 3, 192, 192)
    change = with_context.predict_patches(patch)[0] - without.predict_patches(patch)[0]
    assert change.abs().max() > 1e-3
    assert change[0, 30:34, 30:34].abs().max() < 0.1 * change.abs().max()


@torch.no_grad()
def test_both_executions_detect_the_same() -> None:
    results = []
    for execution in ("refactored", "concatenated"):
        model = small(execution=execution, windows_at_once=7).eval()
        ((found, groups),) = model.detect([image()])
        results.append((found, torch.cat([group.probabilities for group in groups])))
    (one, masks), (other, same) = results
    assert torch.equal(one.window, other.window)
    assert torch.allclose(masks, same, atol=1e-5)


@torch.no_grad()
def test_only_the_best_windows_are_refined() -> None:
    model, refinements = small(windows_at_once=8).eval(), []
    model.refiner.register_forward_hook(lambda _, inputs, __: refinements.append(len(inputs[0])))
    model.detect([image()])
    assert sum(refinements) == 20
    assert max(refinements) <= 8


def test_proposals_speak_torchvisions_api() -> None:
    (found,) = small().eval()([image()])
    count = len(found["boxes"])
    assert 0 < count <= 20
    assert found["masks"].shape == (count, 1, *SIZE)
    assert found["labels"].tolist() == [1] * count


def test_the_first_stage_may_come_from_a_deepmask() -> None:
    trained, model = deepmask_small(), sharpmask_small()
    model.load_feedforward(trained.state_dict())
    for name, x in trained.state_dict().items():
        assert torch.equal(model.state_dict()[name], x)


def test_weights_of_another_variant_are_refused() -> None:
    model = sharpmask_small()
    with pytest.raises(
        ValueError, match=r"same trunk and head, but .* such as 'head.decode.weight'"
    ):
        model.load_feedforward(deepmask_small(mask_cells=16).state_dict())
    with pytest.raises(ValueError, match="same trunk and head"):
        model.load_feedforward(deepmask_small(score_head="A").state_dict())


def test_settings_reach_the_part_they_are_for() -> None:
    with torch.device("meta"):
        model = sharpmask(norm="frozen", k=16, schedule="a", stage="joint", score_head="B")
    assert model.stage == "joint"
    assert model.head.score_head == "B"
    assert model.refiner.steps[3].of_mask.in_channels == 16
    assert model.patch_training.target_px == 160


def test_the_published_sharpmask_is_deepmask_ours_and_under_three_million_more() -> None:
    with torch.device("meta"):
        model = sharpmask(norm="frozen")
    count = sum(p.numel() for p in model.parameters())
    assert count == 17_333_121 + 2_757_821


def test_refined_masks_of_the_small_one_depend_on_the_image_from_the_start() -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        refiner = sharpmask_small().refiner
        maps = [
            torch.rand(2, step.horizontal[0].in_channels, 6 * 2**i, 6 * 2**i)
            for i, step in enumerate(refiner.steps)
        ]
        with torch.no_grad():
            vectors = torch.rand(2, refiner.encode.in_channels)
            masks = refiner(vectors, refiner.share(refiner.skips(maps)))
        assert not masks[0].allclose(masks[1], rtol=0, atol=1e-6)


def test_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="num_classes expects 1, got 5"):
        sharpmask_small(num_classes=5)
