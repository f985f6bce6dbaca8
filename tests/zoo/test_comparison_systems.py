"""What is compared: every system can be built in both sizes, and differs in what its name says."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tensormask_zoo.comparison.systems import CONTRASTS, MODELS, PROPOSALS, SYSTEMS
from tensormask_zoo.models import CLASS_AGNOSTIC
from tensormask_zoo.models import MODELS as ZOO


def built(system: str, size: Any) -> Any:
    name, settings = SYSTEMS[system].build(size)
    with torch.device("meta"):
        return ZOO[name](num_classes=1 if name in CLASS_AGNOSTIC else 3, **settings)


@pytest.mark.parametrize("size", ["small", "published"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_is_built_and_returns_enough_proposals(system: str, size: str) -> None:
    model = built(system, size)
    if hasattr(model, "inference"):
        assert model.inference.proposals == PROPOSALS
    elif hasattr(model, "limits"):
        assert model.limits.detections == PROPOSALS <= model.limits.candidates
        assert model.limits.score_threshold == 0
    else:
        assert model.network.roi_heads.detections_per_img == PROPOSALS


@pytest.mark.parametrize("size", ["small", "published"])
@pytest.mark.parametrize("system", [name for name, one in SYSTEMS.items() if one.of])
def test_a_reading_takes_the_weights_of_its_system(system: str, size: str) -> None:
    of = SYSTEMS[system].of or ""
    shapes = [
        {name: x.shape for name, x in built(one, size).state_dict().items()} for one in (system, of)
    ]
    assert shapes[0] == shapes[1]
    assert SYSTEMS[system].build(size) != SYSTEMS[of].build(size)  # type: ignore[arg-type]  # a size


def test_halves_have_every_other_scale_and_one_stream() -> None:
    every, half = (built(f"deepmask{name}", "published").inference.scales
                   for name in ("", "_every_other_scale"))  # fmt: skip
    assert half == every[::2]
    streams = [
        built(name, "published").eval().strides for name in ("fastmask", "fastmask_one_stream")
    ]
    assert streams == [(16, 24, 32, 48, 64, 96, 128, 192), (16, 32, 64, 128)]


def test_the_small_pyramid_is_the_model_s_own() -> None:
    assert (
        list(ZOO["deepmask_small"]().inference.scales)
        == built("deepmask", "small").inference.scales
    )


def test_necks_and_heads_are_what_their_names_say() -> None:
    assert built("fastmask_standard_head", "small").head.attention is None
    assert built("fastmask", "small").head.attention is not None
    suffixes = ("", "_average_neck", "_max_neck", "_feed_forward_neck")
    necks = [built(f"fastmask{suffix}", "small").neck for suffix in suffixes]
    assert len({(str(neck), getattr(neck, "residual", None)) for neck in necks}) == 4
    assert necks[0].residual


def test_differences_are_between_systems_and_agree_with_the_paper() -> None:
    for contrast in CONTRASTS:
        first, *others = (SYSTEMS[name] for name in (contrast.row, *contrast.than))
        assert others
        numbers = [one.paper.get(contrast.metric) for one in (first, *others)]
        same_table = first.source == others[0].source
        if same_table and None not in numbers:
            assert contrast.paper == pytest.approx(numbers[0] - numbers[1])  # type: ignore[operator]  # no None


def test_published_numbers_grow_with_the_count_of_proposals() -> None:
    for system in SYSTEMS.values():
        at = [
            system.paper[f"mask AR@{n}"] for n in (10, 100, 1000) if f"mask AR@{n}" in system.paper
        ]
        assert at == sorted(at)


def test_every_model_has_both_sizes() -> None:
    assert all(set(sizes) == {"small", "published"} for sizes in MODELS.values())
