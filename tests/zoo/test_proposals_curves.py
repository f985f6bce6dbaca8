"""Curves of recall, as pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tensormask_zoo.pictures import PALETTE
from tensormask_zoo.proposals.curves import _lines, save_recall_curves
from tensormask_zoo.proposals.matching import match
from tensormask_zoo.proposals.recall import RecallCurves, curves_of


def curves(iou: float) -> RecallCurves:
    return curves_of([match(np.full((2000, 1), iou), np.linspace(1, 0, 2000), [500.0])])


def test_the_average_is_over_the_thresholds_of_coco() -> None:
    assert curves(0.72).average() == pytest.approx(np.full(28, 0.5))


@pytest.mark.parametrize("systems", [[], ["one"], ["a", "b", "c"]])
def test_any_number_of_systems_is_drawn(tmp_path: Path, systems: list[str]) -> None:
    given = {name: curves(0.5 + 0.1 * n) for n, name in enumerate(systems)}
    path = save_recall_curves(given, tmp_path / "new" / "recall.png", title="masks")
    with Image.open(path) as picture:
        assert (picture.format, picture.width) == ("PNG", 4 * 4 * 120)
    assert [other.name for other in path.parent.iterdir()] == ["recall.png"]


def test_systems_have_their_own_lines(tmp_path: Path) -> None:
    pixels = []
    for iou in (0.6, 0.9):
        path = save_recall_curves({"a": curves(iou)}, tmp_path / "recall.png")
        pixels.append(np.asarray(Image.open(path)))
    assert (pixels[0] != pixels[1]).any()


def test_many_systems_can_be_told_apart() -> None:
    lines = _lines(2 * len(PALETTE))
    assert len({tuple(line.values()) for line in lines}) == len(lines)


def test_a_count_that_was_not_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got 11"):
        save_recall_curves({"a": curves(0.8)}, tmp_path / "recall.png", counts=[11])
