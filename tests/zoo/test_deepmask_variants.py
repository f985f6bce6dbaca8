"""Every published DeepMask: parameters and shapes as counted from the papers and the code."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tensormask_zoo.deepmask import variants
from tensormask_zoo.deepmask.model import DeepMask
from tensormask_zoo.deepmask.placement import PatchRule
from tensormask_zoo.deepmask.trunk import resnet50_trunk, small_trunk, vgg_a_trunk

RESNETS = {
    variants.deepmask_w160_p4_d39: 37_387_521,
    variants.deepmask_w160_p4_d39_f128: 17_333_121,
    variants.deepmask_w112_p4_d39: 24_018_177,
    variants.deepmask_w112_p3_d21: 55_213_313,
    variants.deepmask_w112_p3_d21_f128: 16_481_153,
    variants.deepmask_head_a: 24_018_433,
    variants.deepmask_head_b: 23_887_233,
    variants.deepmask_head_c: 17_333_121,
}
VGGS = {
    variants.deepmask_vgg_a: 75_844_545,
    variants.deepmask_w160_p4_d8_vgg: 37_833_153,
}


def on_meta(build: Callable[..., DeepMask], **settings: Any) -> DeepMask:
    with torch.device("meta"):
        return build(**settings)


def count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("build", "parameters"), RESNETS.items())
def test_variants_on_resnet_have_the_published_parameters(
    build: Callable[..., DeepMask], parameters: int
) -> None:
    assert count(on_meta(build, norm="frozen")) == parameters


@pytest.mark.parametrize(("build", "parameters"), VGGS.items())
def test_variants_on_vgg_have_the_published_parameters(
    build: Callable[..., DeepMask], parameters: int
) -> None:
    assert count(on_meta(build)) == parameters


@pytest.mark.parametrize(
    ("build", "side", "maps"),
    [
        (resnet50_trunk, 192, [(1024, 12), (512, 24), (256, 48), (64, 96)]),
        (lambda: resnet50_trunk(stages=2), 144, [(512, 18), (256, 36), (64, 72)]),
        (vgg_a_trunk, 224, [(512, 14), (512, 28), (256, 56), (128, 112)]),
        (small_trunk, 96, [(64, 12), (32, 24), (16, 48)]),
    ],
)
def test_trunks_have_the_published_maps(
    build: Callable[..., Any], side: int, maps: list[tuple[int, int]]
) -> None:
    with torch.device("meta"):
        trunk = build()
        found = trunk(torch.zeros(1, 3, side, side))
    assert [(x.shape[1], x.shape[2]) for x in found] == maps
    assert trunk.widths == tuple(channels for channels, _ in maps)
    assert trunk.stride == side // maps[0][1]


@pytest.mark.parametrize("build", [*RESNETS, *VGGS])
def test_a_patch_has_one_mask_and_one_score(build: Callable[..., DeepMask]) -> None:
    model = on_meta(build).eval()
    side = model.rule.side_px
    with torch.device("meta"):
        masks, scores = model.predict_patches(torch.zeros(2, 3, side, side))
    assert masks.shape == (2, 56, 56)
    assert scores.shape == (2,)


def test_the_trunk_is_torchvisions() -> None:
    names = [name for name, _ in on_meta(variants.deepmask_head_c).trunk.named_parameters()]
    assert len(names) == 3 * 43  # weight, scale and shift of conv1, 13 * 3 and 3 shortcuts


def test_without_weights_the_normalisation_trains_and_with_them_it_is_frozen() -> None:
    from_scratch = on_meta(variants.deepmask_w160_p4_d39_f128)
    assert count(from_scratch) == 17_333_121 + 30_592


def test_the_original_is_trained_by_the_papers_rules() -> None:
    model = on_meta(variants.deepmask_vgg_a)
    assert model.rule == PatchRule.paper()
    assert model.patch_training.batches == "joint"
    assert [round(s, 3) for s in model.inference.scales] == [0.25, 0.354, 0.5, 0.707, 1, 1.414, 2]


def test_canonical_objects_shrink_with_the_window() -> None:
    assert on_meta(variants.deepmask_head_c).rule == PatchRule()
    assert on_meta(variants.deepmask_w112_p3_d21).rule.object_px == 64


def test_the_small_one_is_small() -> None:
    assert count(variants.deepmask_small()) < 1_000_000


@pytest.mark.parametrize("side", [10, 20, 40, 79])
def test_objects_of_the_small_one_are_canonical_at_some_scale(side: float) -> None:
    model = variants.deepmask_small()
    shown = [side * scale / model.rule.object_px for scale in model.inference.scales]
    assert min(abs(math.log2(size)) for size in shown) <= model.rule.octaves
    assert side > model.rule.least_side_px


def test_settings_of_the_small_one_are_changed_one_by_one() -> None:
    model = variants.deepmask_small(rule={"flip": 0.0}, inference={"proposals": 7})
    assert (model.rule.flip, model.rule.least_area_px2) == (0.0, 16)
    assert (model.inference.proposals, model.inference.mask_threshold) == (7, 0.5)


@pytest.mark.parametrize("build", [*RESNETS, *VGGS, variants.deepmask_small])
def test_classes_are_refused(build: Callable[..., DeepMask]) -> None:
    with pytest.raises(ValueError, match="num_classes expects 1, got 80: proposals are objects"):
        on_meta(build, num_classes=80)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"score_head": "D"}, "score_head expects one of original, A, B, C, got 'D'"),
        ({"rule": {"patch_px": 80}}, "rule expects patch_px=48, the window of 6 cells of stride 8"),
        ({"rule": {"context_px": 12}}, "context_px expects a multiple of the stride 8, got 12"),
        ({"rule": {"scores": "both"}}, "scores expects 'code' or 'paper', got 'both'"),
        ({"border": "wrap"}, "border expects one of"),
        ({"training": {"batches": "odd"}}, "batches expects 'alternating' or 'joint'"),
        ({"training": {"score_share": 2}}, "score_share expects a share"),
        ({"training": {"patches_per_image": 0}}, "patches_per_image expects at least 1"),
        ({"inference": {"surround": "black"}}, "surround expects 'grey' or 'symmetric'"),
        ({"inference": {"scales": ()}}, "scales expects at least one"),
        ({"inference": {"scales": (0,)}}, "scale of the pyramid must be a positive"),
        ({"inference": {"proposals": 0}}, "proposals expects at least 1"),
        ({"inference": {"mask_threshold": 1}}, "mask_threshold expects a share"),
    ],
)
def test_settings_that_do_not_exist_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        variants.deepmask_small(**settings)


def test_windows_off_the_grid_of_the_trunk_are_refused() -> None:
    with pytest.raises(ValueError, match="window_px expects a multiple of the stride 8, got 60"):
        variants.deepmask(small_trunk(), window_px=60)


def test_the_original_head_needs_an_even_window() -> None:
    with pytest.raises(ValueError, match="an even number of cells per window, got 7"):
        variants.deepmask(small_trunk(), window_px=56, score_head="original")


def test_an_unknown_normalisation_is_refused() -> None:
    with pytest.raises(ValueError, match="norm expects 'frozen', 'batch' or None, got 'group'"):
        resnet50_trunk(norm="group")  # type: ignore[arg-type]  # the point
