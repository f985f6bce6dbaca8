"""SharpMask's refinement: parameters, shapes, and two ways to compute one thing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tensormask_zoo.sharpmask import refinement
from tensormask_zoo.sharpmask.design import RefinementDesign
from tensormask_zoo.sharpmask.doubling import doubled
from tensormask_zoo.sharpmask.refinement import Refinement, Refiner
from tensormask_zoo.sharpmask.variants import sharpmask

RESNET = (1024, 512, 256, 64)
COUNTS = [
    ({}, 2_757_821),
    ({"k": 16}, 1_910_507),
    ({"k": 64}, 4_470_809),
    ({"schedule": "a", "k": 4}, 1_284_949),
    ({"schedule": "a", "k": 8}, 1_502_889),
    ({"schedule": "a", "k": 16}, 1_945_681),
    ({"schedule": "a", "k": 32}, 2_858_913),
    ({"schedule": "a", "k": 64}, 4_795_969),
    ({"form": "code"}, 2_750_535),
    ({"form": "code", "k": 16}, 1_894_572),
    ({"form": "code", "k": 64}, 4_499_181),
]
DESIGNS = [
    {},
    {"form": "code", "upsample": "nearest"},
    {"schedule": "a", "k": 3, "upsample": "nearest"},
    {"form": "code", "k": 16, "border": "zeros"},
    {"border": "reflect"},
]


CORNERS_AND_OVERLAP = torch.tensor([[0, 0], [6, 4], [2, 3], [2, 4]])


def small_refiner(execution: Any = "refactored", **design: Any) -> Refiner:
    torch.manual_seed(0)
    given: dict[str, Any] = {"k": 8} | design
    return Refiner(
        6, kernel=3, widths=(7, 5, 4), design=RefinementDesign(**given), execution=execution
    )


def shape_of_doubled(x: Tensor) -> tuple[int, ...]:
    return tuple(doubled(x, "bilinear").shape[1:])


def refined_windows(refiner: Refiner, index: Tensor = CORNERS_AND_OVERLAP) -> Tensor:
    """Masks of windows of one image."""
    generator = torch.Generator().manual_seed(1)
    maps = [
        torch.rand(1, c, 9 * 2**i, 7 * 2**i, generator=generator) for i, c in enumerate((7, 5, 4))
    ]
    skips = [x[0] for x in refiner.skips(maps)]
    vectors = torch.randn(len(index), 6, generator=generator)
    return refiner.masks(vectors, skips, index, at_once=3)


@pytest.mark.parametrize(("design", "parameters"), COUNTS)
def test_refinement_has_the_published_parameters(design: dict[str, Any], parameters: int) -> None:
    with torch.device("meta"):
        refiner = Refiner(512, kernel=10, widths=RESNET, design=RefinementDesign(**design))
    assert sum(p.numel() for p in refiner.parameters()) == parameters


@pytest.mark.parametrize("form", ["paper", "code"])
def test_encodings_have_the_published_shapes(form: Any) -> None:
    shapes: list[tuple[int, ...]] = []
    with torch.device("meta"):
        model = sharpmask(form=form)
        for step in model.refiner.steps:
            step.register_forward_hook(lambda _, __, out: shapes.append(shape_of_doubled(out)))
        masks, _ = model.eval().predict_patches(torch.zeros(1, 3, 192, 192))
    assert shapes == [(16, 20, 20), (8, 40, 40), (4, 80, 80), (2, 160, 160)]
    assert model.refiner.encode.out_channels == 32 * 10**2
    assert masks.shape == (1, 160, 160)


@pytest.mark.parametrize("design", DESIGNS)
@torch.no_grad()
def test_refactored_and_concatenated_refinement_agree(design: dict[str, Any]) -> None:
    refiner = small_refiner(**design)
    masks = refined_windows(refiner)
    assert masks.shape == (4, 24, 24)
    assert masks.std() > 1e-3
    refiner.execution = "concatenated"
    assert torch.allclose(masks, refined_windows(refiner), atol=1e-5)


@pytest.mark.parametrize("design", DESIGNS)
def test_both_forms_teach_the_same(design: dict[str, Any]) -> None:
    gradients = []
    for execution in ("refactored", "concatenated"):
        refiner = small_refiner(execution, **design)
        refined_windows(refiner).square().mean().backward()
        gradients.append({name: p.grad for name, p in refiner.named_parameters()})
    for name, one in gradients[0].items():
        assert one.abs().sum() > 0, name
        assert torch.allclose(one, gradients[1][name], rtol=1e-3, atol=1e-6), name


@pytest.mark.parametrize("execution", ["refactored", "concatenated"])
@torch.no_grad()
def test_a_mask_does_not_depend_on_the_windows_beside_it(execution: Any) -> None:
    refiner = small_refiner(execution)
    refiner.encode.weight.zero_()  # the vectors differ
    together = refined_windows(refiner)
    alone = [refined_windows(refiner, index[None]) for index in CORNERS_AND_OVERLAP]
    assert torch.allclose(together, torch.cat(alone), atol=1e-6)
    assert together.std(0).max() > 1e-3


@torch.no_grad()
def test_the_refactored_form_makes_no_doubled_map(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("doubled")

    monkeypatch.setattr(refinement, "doubled", refuse)
    refined_windows(small_refiner())
    with pytest.raises(AssertionError, match="doubled"):
        refined_windows(small_refiner("concatenated"))


@torch.no_grad()
def test_a_module_is_the_papers_equation() -> None:
    torch.manual_seed(0)
    design = RefinementDesign(k=4, border="zeros")
    module = Refinement(5, hidden=6, encoding=4, out=2, design=design, first=True)
    features, mask = torch.rand(1, 5, 6, 6), torch.rand(1, 4, 6, 6)
    first, second = module.horizontal[0], module.horizontal[2]
    skip = F.conv2d(features, first.weight, first.bias, padding=1).relu()
    skip = F.conv2d(skip, second.weight, second.bias, padding=1).relu()
    weight = torch.cat([module.of_mask.weight, module.of_skip.weight], dim=1)
    both = F.conv2d(torch.cat([mask, skip], dim=1), weight, module.of_mask.bias, padding=1)
    shared = module.share(module.skip(features), "refactored")
    found = module(mask, shared, "refactored")
    assert torch.allclose(found, both.relu(), atol=1e-5)


@torch.no_grad()
def test_skip_features_are_merged_once_in_the_box_around_the_windows() -> None:
    refiner, shapes = small_refiner(), []
    for step in refiner.steps:
        step.of_skip.register_forward_hook(lambda _, __, out: shapes.append(tuple(out.shape)))
    refined_windows(refiner, torch.tensor([[3, 1], [2, 3], [2, 1], [3, 2]]))
    assert shapes == [(1, 4, 4, 5), (1, 2, 8, 10), (1, 1, 16, 20)]


@pytest.mark.parametrize(
    ("schedule", "k", "channels"),
    [
        ("b", 32, (32, 16, 8, 4, 2)),
        ("b", 4, (4, 2, 1, 1, 1)),
        ("a", 4, (4, 4, 4, 4, 4)),
        ("b", 1, (1, 1, 1, 1, 1)),
    ],
)
def test_schedules(schedule: Any, k: int, channels: tuple[int, ...]) -> None:
    assert RefinementDesign(schedule=schedule, k=k).encodings(4) == channels


@pytest.mark.parametrize(
    ("design", "message"),
    [
        ({"k": 0}, "k expects at least 1 channel, got 0"),
        ({"schedule": "c"}, "schedule expects one of a, b, got 'c'"),
        ({"form": "repository"}, "form expects one of paper, code"),
        ({"upsample": "cubic"}, "upsample expects one of bilinear, nearest"),
        ({"border": "wrap"}, "border expects one of zeros, symmetric, reflect"),
        ({"execution": "fast"}, "execution expects one of refactored, concatenated"),
    ],
)
def test_designs_that_do_not_exist_are_refused(design: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_refiner(**design)
