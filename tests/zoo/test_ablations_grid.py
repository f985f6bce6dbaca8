"""The grid as data: every row can be built, every printed difference is that of its lines."""

from __future__ import annotations

import pytest

from tensormask_zoo.ablations.grid import BASE, CONTRASTS, LINES, READINGS, ROWS, TABLES, Contrast
from tensormask_zoo.models import tensormask_small_fpn

PAPER = {(line.table, line.row): line.paper for line in LINES}


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_a_model(row: str) -> None:
    model = tensormask_small_fpn(num_classes=2, channels=8, **{**BASE, **ROWS[row]})
    assert model.mask_head.design.head == {**BASE, **ROWS[row]}["head"]
    assert (15, 15) in [tuple(window) for window in model.mask_head.windows]


def test_lines_and_differences_are_of_rows_there_are() -> None:
    known = {*ROWS, *READINGS}
    assert {line.row for line in LINES} == known
    assert all({contrast.row, *contrast.than} <= known for contrast in CONTRASTS)
    assert {row for row, _ in READINGS.values()} <= set(ROWS)


def test_the_rows_of_the_tables_are_all_but_the_corrections() -> None:
    assert set(ROWS) - set(TABLES) == {
        "cells_2px", "border_padded", "nodes_drift", "binary_targets", "ambiguous_negative",
        "centrality_4px", "as_published",
    }  # fmt: skip


def printed(contrast: Contrast) -> float:
    """Return the difference of the paper's lines."""
    at = {"AP": 0, "APL": 5}[contrast.metric]
    best = max(
        PAPER[contrast.table, row][at] for row in contrast.than if (contrast.table, row) in PAPER
    )
    return PAPER[contrast.table, contrast.row][at] - best


TWO_TABLES = ("nearest", "natural")  # bilinear rows stand in both tables


@pytest.mark.parametrize("contrast", [c for c in CONTRASTS if c.paper is not None], ids=str)
def test_differences_are_those_of_the_paper_s_lines(contrast: Contrast) -> None:
    assert printed(contrast) == pytest.approx(contrast.paper)


def test_each_correction_changes_one_thing() -> None:
    changed = {
        line.row: ROWS[line.row] for line in LINES if line.table == "corrections" and line.row
    }
    del changed["as_published"]
    assert all(len(settings) <= 1 for settings in changed.values())
    for settings in changed.values():
        assert all(settings[name] != BASE[name] for name in settings)
