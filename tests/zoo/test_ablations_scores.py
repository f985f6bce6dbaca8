"""The AP of rows against that of the evaluator, and sizes of one's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tensormask_core.masks import encode
from tensormask_zoo.ablations.scores import MaskScores
from tensormask_zoo.data.shapes import Shapes
from tensormask_zoo.evaluation import CocoEvaluator, ImageResult

SHAPES = Shapes(length=6, seed=3)


def shifted(target: dict[str, Any], by: int) -> ImageResult:
    """Return the objects of a target, moved to the right."""
    masks = torch.roll(target["masks"], by, dims=2).numpy()
    scores = np.linspace(0.9, 0.5, len(masks))
    return ImageResult(target["boxes"].numpy(), target["labels"].numpy(), scores, encode(masks))


def test_the_metrics_are_the_evaluator_s() -> None:
    scores, evaluator, results = (
        MaskScores(SHAPES.class_names),
        CocoEvaluator(SHAPES.class_names),
        [],
    )
    for n in range(len(SHAPES)):
        target = SHAPES[n][1]
        results.append(shifted(target, by=n))
        scores.add(target)
        evaluator.add(results[-1], target)
    expected = evaluator.compute()
    for name, value in scores.of(results).items():
        if value is None:
            assert expected[f"mask {name}"] == -1
        else:
            assert value == pytest.approx(100 * expected[f"mask {name}"])


def test_sizes_are_bounds_of_the_root_of_the_area(objects: Any) -> None:
    target = objects([[0, 0, 10, 10], [20, 20, 50, 50]], image_id=1, iscrowd=[0, 0])
    target["labels"][:] = 1
    small_only = ImageResult(*(target[k][:1].numpy() for k in ("boxes", "labels")), np.ones(1),
                             encode(target["masks"][:1].numpy()))  # fmt: skip
    found = {}
    for sizes in ((12.0, 29.0), (12.0, 31.0), (9.0, 29.0)):
        scores = MaskScores(["square"], sizes_px=sizes)
        scores.add(target)
        found[sizes] = [scores.of([small_only])[f"AP{size}"] for size in "SML"]
    assert found[12.0, 29.0] == [pytest.approx(100), None, 0]
    assert found[12.0, 31.0] == [pytest.approx(100), 0, None]
    assert found[9.0, 29.0] == [None, pytest.approx(100), 0]


def test_crowds_are_not_missed(objects: Any) -> None:
    target = objects([[0, 0, 10, 10], [20, 20, 50, 50]], image_id=1, iscrowd=[0, 1])
    target["labels"][:] = 1
    scores = MaskScores(["square"])
    scores.add(target)
    found = ImageResult(*(target[k][:1].numpy() for k in ("boxes", "labels")), np.ones(1),
                        encode(target["masks"][:1].numpy()))  # fmt: skip
    assert scores.of([found])["AP"] == pytest.approx(100)
