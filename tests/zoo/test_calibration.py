"""Calibrated scores, on curves made by hand and against a plain computation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tensormask_core.masks import encode, tight_boxes
from tensormask_zoo.calibration import Calibration, Curve, precision_of_scores
from tensormask_zoo.evaluation import CocoEvaluator, ImageResult

DETECTIONS = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=30)


def plain(scores: list[float], correct: list[bool], score: float) -> float:
    """Best precision of all thresholds at or below the lowest score that reaches `score`."""
    above = [s for s in scores if s >= score]
    at = min(above) if above else max(scores)
    precision = []
    for threshold in scores:
        if threshold <= at:
            kept = [c for s, c in zip(scores, correct, strict=True) if s >= threshold]
            precision.append(sum(kept) / len(kept))
    return max(precision)


@given(DETECTIONS, st.integers(-1, 13))
def test_a_score_becomes_the_precision_of_its_operating_point(
    detections: list[tuple[int, bool]], asked: int
) -> None:
    scores, correct = [s / 12 for s, _ in detections], [c for _, c in detections]
    found = precision_of_scores(scores, correct)(torch.tensor([asked / 12], dtype=torch.float64))
    assert float(found) == pytest.approx(plain(scores, correct, asked / 12), abs=6e-4)


@given(DETECTIONS)
def test_a_higher_score_is_never_worth_less(detections: list[tuple[int, bool]]) -> None:
    curve = precision_of_scores(*zip(*detections, strict=True))
    assert (curve(torch.arange(-1.0, 14.0)).diff() >= 0).all()


def test_equal_scores_count_together() -> None:
    assert precision_of_scores([0.5, 0.5], [True, False]) == Curve((0.5,), (0.5,))


def test_scores_between_steps_take_the_step_above() -> None:
    curve = Curve((0.25, 0.5, 0.75), (0.1, 0.4, 1.0))
    asked = torch.tensor([0.0, 0.25, 0.26, 0.5, 0.51, 0.95])
    assert curve(asked).tolist() == pytest.approx([0.1, 0.1, 0.4, 0.4, 1.0, 1.0])


def test_a_long_curve_has_a_thousand_steps_at_most() -> None:
    scores = np.linspace(1, 0, 20_000)
    curve = precision_of_scores(scores, np.random.default_rng(0).random(20_000) < scores)
    assert 300 < len(curve.scores) <= 1001


def test_without_detections_there_is_no_curve() -> None:
    assert precision_of_scores([], []) == Curve()


def test_each_class_has_its_own_curve_and_an_unseen_one_keeps_its_scores() -> None:
    known = Calibration({"a": Curve((0.5,), (0.1,)), "b": Curve((0.5,), (0.7,)), "c": Curve()})
    scores = known(torch.tensor([0.3, 0.3, 0.3]), torch.tensor([2, 3, 1]))
    assert scores.tolist() == pytest.approx([0.7, 0.3, 0.1])


def test_no_detections_stay_none() -> None:
    nothing = Calibration({"a": Curve((0.5,), (0.1,))})(torch.zeros(0), torch.zeros(0))
    assert nothing.shape == (0,)


def test_a_calibration_is_read_as_it_was_written(tmp_path: Path) -> None:
    known = Calibration({"disc": Curve((0.25, 0.5), (0.125, 1.0)), "ring": Curve()})
    assert Calibration.read(known.write(tmp_path / "calibration.json")) == known


@pytest.fixture(scope="module")
def calibration(objects: Any) -> Calibration:
    """A true disc, a false one of a lower score and one in a crowd; a unicorn where none is."""
    places = [[4, 4, 24, 24], [50, 4, 80, 60], [52, 10, 70, 40], [30, 30, 45, 45]]
    target = objects(places[:2], iscrowd=[0, 1], labels=[1, 1], image_id=0)
    masks = objects([places[0], *places[2:], places[3]])["masks"].numpy()
    labels, scores = np.array([1, 1, 1, 2]), np.array([0.9, 0.5, 0.3, 0.8])
    evaluator = CocoEvaluator(["disc", "unicorn"])
    evaluator.add(ImageResult(tight_boxes(masks), labels, scores, encode(masks)), target)
    return evaluator.calibration()


def test_what_lies_in_a_crowd_is_neither_right_nor_wrong(calibration: Calibration) -> None:
    assert calibration.curves["disc"] == Curve((0.3, 0.9), (0.5, 1.0))


def test_a_class_that_no_image_shows_has_no_curve(calibration: Calibration) -> None:
    assert calibration.curves["unicorn"] == Curve()
