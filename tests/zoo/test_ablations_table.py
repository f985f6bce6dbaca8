"""The table: the paper's numbers, means and deviations, differences within seeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tensormask_zoo.ablations.grid import Contrast
from tensormask_zoo.ablations.plot import save_bars
from tensormask_zoo.ablations.scores import METRICS
from tensormask_zoo.ablations.table import Grid, Spread, write_table

APS = {"bipyramid": (50.0, 54.0), "simple_aligned": (48.0, 50.0), "simple_natural": (49.0, 30.0)}


def result(row: str, seed: int, ap: float) -> dict[str, Any]:
    return {
        "row": row, "protocol": "joint", "seed": seed, "command": "run it", "iterations": 7,
        "images": 3, "sizes_px": [24, 48],
        "scores": dict.fromkeys(METRICS, ap) | {"APL": None if seed else ap},
    }  # fmt: skip


@pytest.fixture
def results() -> list[dict[str, Any]]:
    return [result(row, seed, ap) for row, aps in APS.items() for seed, ap in enumerate(aps)]


@pytest.mark.parametrize(
    ("values", "text"),
    [((), "–"), ((1.25,), "+1.2"), ((1.0, 3.0), "+2.0 ± 1.4"), ((-0.01,), "+0.0")],
)
def test_a_spread_is_written_with_as_much_as_is_known(values: tuple[float, ...], text: str) -> None:
    assert f"{Spread(values):+}" == text


def test_differences_are_taken_within_seeds_from_the_best(results: list[Any]) -> None:
    contrast = Contrast("2c", "", "bipyramid", ("simple_natural", "simple_aligned", "absent"))
    spread, than = Grid(results).difference("joint", contrast)
    assert than == "simple_aligned"  # 49 on average, against 39.5
    assert spread.values == (2.0, 4.0)


def test_a_seed_without_large_objects_is_left_out(results: list[Any]) -> None:
    assert Grid(results).scores("joint", "bipyramid", "APL").values == (50.0,)


def test_the_table_has_the_paper_s_numbers_beside_ours(results: list[Any], tmp_path: Path) -> None:
    markdown, _ = write_table(results, tmp_path)
    lines = markdown.read_text(encoding="utf-8").splitlines()
    (row,) = [line for line in lines if line.startswith("| 2c | tensor bipyramid")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[2:4] == ["34.0 / 55.2 / 35.8 / 15.3 / 36.3 / 48.4", "52.0 ± 2.8"]
    assert cells[-2:] == ["2", "1"]
    assert "1. `run it --seeds 0 1`" in lines
    assert any(line.startswith("| 2c | bipyramid - best feature") for line in lines)


def test_the_json_has_one_entry_per_line_and_seed(results: list[Any], tmp_path: Path) -> None:
    _, path = write_table(results, tmp_path)
    found = [one for one in json.loads(path.read_text()) if one["row"] == "bipyramid"]
    assert {(one["table"], one["seed"]) for one in found} >= {("2c", 0), ("2c", 1), ("2d", 1)}
    assert all(one["command"] == "run it" for one in found)


def test_bars_are_drawn(results: list[Any], tmp_path: Path) -> None:
    path = save_bars(Grid(results), tmp_path / "bars.png")
    assert path.read_bytes()[1:4] == b"PNG"
