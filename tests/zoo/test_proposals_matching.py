"""Matching by pycocotools, against a plain one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tensormask_zoo.proposals.matching import AREA_RANGES_PX2, NEVER, THRESHOLDS, match

OVERLAPS = st.sampled_from([0.0, 0.3, 0.5, 0.55, 0.75, 0.75, 0.9, 1.0])
SCORES = st.sampled_from([0.1, 0.5, 0.9])
AREAS_PX2 = st.sampled_from([50.0, 32.0**2, 5000.0, 96.0**2, 20000.0])


@st.composite
def image(draw: st.DrawFn) -> tuple[np.ndarray, list[float], list[float]]:
    """Overlaps (D, G), scores with many ties, areas on the bounds of the sizes."""
    proposals, objects = draw(st.integers(0, 12)), draw(st.integers(0, 5))
    cells, scores, areas = (
        draw(st.lists(values, min_size=count, max_size=count))
        for values, count in (
            (OVERLAPS, proposals * objects), (SCORES, proposals), (AREAS_PX2, objects)
        )
    )  # fmt: skip
    return np.array(cells, float).reshape(proposals, objects), scores, areas


def plain_ranks(
    overlaps: np.ndarray, scores: list[float], objects: list[int], threshold: float
) -> dict[int, int]:
    """The rank of the finder of each object: greedy, the best overlap first, the later at a tie."""
    finders: dict[int, int] = {}
    order = sorted(range(len(scores)), key=lambda d: -scores[d])
    for rank, proposal in enumerate(order):
        free = [g for g in objects if g not in finders and overlaps[proposal, g] >= threshold]
        if free:
            finders[max(free, key=lambda g: (overlaps[proposal, g], g))] = rank
    return finders


@given(image())
def test_ranks_are_those_of_a_plain_matching(case: tuple) -> None:
    overlaps, scores, areas = case
    found = match(overlaps, scores, areas)
    for size, (low, high) in enumerate(AREA_RANGES_PX2):
        objects = [g for g, area in enumerate(areas) if low <= area <= high]
        assert np.flatnonzero(found.counted[size]).tolist() == objects
        for t, threshold in enumerate(THRESHOLDS):
            expected = plain_ranks(overlaps, scores, objects, threshold)
            ranks = [int(found.ranks[size, t, g]) for g in objects]
            assert ranks == [expected.get(g, NEVER) for g in objects]


def test_a_better_overlap_with_a_lower_score_comes_too_late() -> None:
    found = match(np.array([[0.6], [0.9]]), [0.8, 0.7], [100.0])
    assert found.ranks[0, :, 0].tolist() == [0] * 3 + [1] * 6 + [NEVER] * 2


def test_among_equal_scores_the_first_comes_first() -> None:
    found = match(np.array([[0.0], [0.6], [0.9]]), [0.5, 0.9, 0.9], [100.0])
    assert found.ranks[0, [0, 5], 0].tolist() == [0, 1]


def test_every_object_is_found_once_by_its_own_proposal() -> None:
    found = match(np.array([[0.9, 0.8], [0.7, 0.0]]), [0.9, 0.8], [100.0, 100.0])
    assert found.ranks[0, 0].tolist() == [0, NEVER]


def test_the_thresholds_are_those_of_pycocotools_and_one() -> None:
    from pycocotools.cocoeval import Params  # noqa: PLC0415  (an optional dependency)

    assert THRESHOLDS[:-1].tolist() == Params("segm").iouThrs.tolist()
    assert [list(limits) for limits in AREA_RANGES_PX2] == Params("segm").areaRng
    assert THRESHOLDS[-1] == 1.0


def test_only_an_equal_mask_is_found_at_iou_one() -> None:
    found = match(np.array([[1.0, 0.0], [0.0, 0.9999]]), [0.9, 0.8], [100.0, 100.0])
    assert found.ranks[0, -1].tolist() == [0, NEVER]


def test_an_object_on_the_bound_of_two_sizes_is_of_both() -> None:
    found = match(np.zeros((0, 2)), [], [32.0**2, 96.0**2])
    assert found.counted[1:].tolist() == [[True, False], [True, True], [False, True]]


def test_the_best_overlap_is_known_whatever_its_score() -> None:
    found = match(np.array([[0.2, 0.1], [0.4, 0.0]]), [0.1, 0.0], [100.0, 100.0])
    assert found.best_iou.tolist() == [0.4, 0.1]


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0, 0)])
def test_without_proposals_or_objects_nothing_is_found(shape: tuple[int, int]) -> None:
    found = match(np.ones(shape), np.ones(shape[0]), np.ones(shape[1]))
    assert found.ranks.shape == (4, 11, shape[1])
    assert (found.ranks == NEVER).all()


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    match(np.ones((2, 2)), [0.1, 0.2], [1.0, 2.0])
    assert capsys.readouterr().out == ""


def test_overlaps_of_other_proposals_are_refused() -> None:
    with pytest.raises(ValueError, match=r"2 scores and 1 areas, got \(1, 1\)"):
        match(np.ones((1, 1)), [0.1, 0.2], [1.0])


def test_proposals_beyond_the_hundred_of_detection_count() -> None:
    found = match(np.array([[0.6]] * 150 + [[0.9]]), np.linspace(1, 0, 151), [100.0])
    assert found.ranks[0, [0, 5], 0].tolist() == [0, 150]
