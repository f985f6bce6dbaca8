"""Where DeepMask's training patches lie."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tensormask_core.errors import UnitError
from tensormask_zoo.deepmask.placement import (
    PatchRule,
    Placement,
    mask_placement,
    negative_placement,
    positive_placement,
    quantised,
)

CODE, PAPER = PatchRule(), PatchRule.paper()
BOX = [100.0, 60.0, 284.0, 120.0]  # 184 px long: canonical of the code at one octave
IMAGE = (240, 400)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_canonical_objects_are_those_of_the_paper_at_the_codes_patch() -> None:
    assert CODE.object_px == math.ceil(160 * 128 / 224)
    assert CODE.side_px == 192
    assert PAPER.side_px == 224


@pytest.mark.parametrize("rule", [CODE, PAPER])
def test_masks_are_jittered_around_the_canonical_place(rule: PatchRule) -> None:
    rng = draws()
    found = [mask_placement(BOX, rule, rng) for _ in range(300)]
    canonical = math.log2(184 / rule.object_px)
    octaves = torch.tensor([p.octaves - canonical for p in found])
    shifts = torch.tensor([[(p.y - 90) / 2**p.octaves, (p.x - 192) / 2**p.octaves] for p in found])
    assert 0.2 < octaves.abs().max() <= 0.25
    assert (shifts.abs().amax(dim=0) <= 16 + 1e-4).all()
    assert (shifts.abs().amax(dim=0) > 14).all()
    assert abs(octaves.mean()) < 0.03


@given(st.floats(5, 2000))
def test_scored_objects_look_at_most_a_quarter_octave_larger_than_canonical(side: float) -> None:
    scaled = side / 2 ** quantised([0, 0, side, side / 2], CODE).octaves
    assert 92 * (1 - 1e-9) < scaled <= 92 * 2**0.25 * (1 + 1e-9)


def test_an_object_of_canonical_size_is_shown_a_quarter_octave_larger() -> None:
    assert quantised([0, 0, 92, 46], CODE).octaves == -0.25


def test_the_codes_positives_lie_exactly_on_an_object() -> None:
    found = positive_placement([BOX], CODE, draws())
    assert (found.y, found.x) == (90, 192)
    assert found == quantised(BOX, CODE)


def test_the_papers_positives_are_jittered() -> None:
    found = positive_placement([BOX], PAPER, draws())
    assert (found.y, found.x) != (90, 192)


def test_the_codes_positives_draw_a_scale_before_an_object() -> None:
    large, small = [0.0, 0, 184, 90], [0.0, 0, 40, 40]
    rng = draws()
    found = [positive_placement([large] * 9 + [small], CODE, rng).octaves for _ in range(200)]
    share = sum(octaves < 0 for octaves in found) / 200
    assert share == pytest.approx(0.5, abs=0.12)  # and not 0.1


def test_the_papers_negatives_are_far_in_place_or_in_scale() -> None:
    rng, canonical = draws(), math.log2(184 / 128)
    found = [negative_placement([BOX], IMAGE, PAPER, rng) for _ in range(300)]
    near = [math.hypot(p.y - 90, p.x - 192) / 2**canonical < 32 for p in found]
    alike = [abs(p.octaves - canonical) < 1 for p in found]
    assert not any(n and a for n, a in zip(near, alike, strict=True))
    assert any(near)
    assert any(alike)


def test_the_codes_negatives_are_far_from_objects_of_related_scales() -> None:
    rng, place = draws(), quantised(BOX, CODE)
    found = [negative_placement([BOX], IMAGE, CODE, rng) for _ in range(300)]
    related = [p for p in found if abs(p.octaves - place.octaves) <= 2.5]
    assert related
    for p in related:
        y, x = (a / 2**p.octaves - b / 2**place.octaves for a, b in ((p.y, 90), (p.x, 192)))
        assert math.hypot(y, x) >= 48


def test_the_code_has_no_negative_by_scale_alone() -> None:
    """On the object but an octave off: negative in the paper, not in the code."""
    centred = [-40.0, -30.0, 40.0, 30.0]  # its centre at the origin looks alike at all scales
    rule = PatchRule(tries=1)
    rng = draws()
    last = [negative_placement([centred], (1, 1), rule, rng) for _ in range(50)]
    assert all(abs(p.y) <= 1 for p in last)  # nothing else is there: the last try is taken
    paper = PatchRule(scores="paper")
    off = [negative_placement([centred], (1, 1), paper, rng) for _ in range(50)]
    assert all(abs(p.octaves - math.log2(80 / 92)) >= 1 for p in off)


def test_negatives_cover_the_codes_21_scales() -> None:
    rng = draws()
    octaves = {negative_placement([], IMAGE, CODE, rng).octaves for _ in range(600)}
    assert octaves == {k / 4 for k in range(-8, 13)}


def test_placements_are_repeatable() -> None:
    first, second = (mask_placement(BOX, CODE, draws(3)) for _ in range(2))
    assert first == second
    assert first != mask_placement(BOX, CODE, draws(4))


def test_torchs_own_generator_serves() -> None:
    torch.manual_seed(5)
    first = mask_placement(BOX, CODE)
    torch.manual_seed(5)
    assert mask_placement(BOX, CODE) == first


def test_a_placement_without_jitter_is_canonical() -> None:
    still = PatchRule(shift_px=0, octaves=0)
    assert mask_placement(BOX, still) == Placement(90, 192, 1)


def test_rules_that_cannot_be_are_refused() -> None:
    with pytest.raises(UnitError, match="object_px must be a positive"):
        PatchRule(object_px=0)
    with pytest.raises(ValueError, match="tries expects at least 1, got 0"):
        PatchRule(tries=0)
