"""The table and the pictures of a comparison."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tensormask_zoo.comparison.picture import save_pictures
from tensormask_zoo.comparison.table import sections, write_table
from tensormask_zoo.proposals.recall import COUNTS, THRESHOLDS, metrics_of

RECALL = {"deepmask": (20.0, 30.0), "sharpmask": (24.0, 32.0)}


def result(system: str, seed: int, recall: float) -> dict[str, Any]:
    kinds = ("mask", "box", "boundary")
    curve = {
        "counts": COUNTS.tolist(), "thresholds": THRESHOLDS.tolist(),
        "recall": [[recall / 100] * len(COUNTS)] * len(THRESHOLDS),
    }  # fmt: skip
    return {
        "row": system, "protocol": "small", "seed": seed, "command": "compare", "loaded": None,
        "iterations": 10 * seed, "images": 5, "curves": dict.fromkeys(kinds, curve),
        "scores": {f"{kind} {name}": recall for kind in kinds for name in metrics_of([])}
        | {"mask ARL@100": None},
        "cost": {"seconds": 0.5, "parameters": 2_000_000, "peak_bytes": 3_000_000,
                 "device": "cpu", "threads": 2},
    }  # fmt: skip


@pytest.fixture
def results() -> list[dict[str, Any]]:
    return [result(name, seed, at) for name, ats in RECALL.items() for seed, at in enumerate(ats)]


def rows(path: Path) -> dict[str, list[str]]:
    """Return the cells of each row of a file's tables by the first cell."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: others for first, *others in cells}


def test_the_paper_s_numbers_stand_beside_ours(results: list[Any], tmp_path: Path) -> None:
    table = rows(write_table(results, tmp_path)[0])
    deepmask = dict(zip(table["system"], table["DeepMask"], strict=True))
    assert deepmask["mask AR@100"] == "25.0 ± 7.1 (25.8)"
    assert deepmask["mask ARL@100"] == "–"
    assert deepmask["s"] == "0.5 (0.46)"
    assert (deepmask["M parameters"], deepmask["MB"]) == ("2", "3")
    assert (deepmask["iterations"], deepmask["seeds"]) == ("5", "2")
    assert deepmask["paper"] == "SharpMask, Table 4"


def test_untrained_networks_and_sliding_windows_stand_beside(
    results: list[Any], tmp_path: Path
) -> None:
    for one in results[:2]:
        one["untrained"] = one["scores"] | {"mask AR@100": 1.0 + 2 * one["seed"]}
    unknown = dict.fromkeys(results[0]["scores"])
    windows = {key: results[0][key] for key in ("protocol", "seed", "images", "command")}
    windows |= {"row": "sliding_windows", "scores": unknown | {"mask AR@100": 0.7}}
    path, numbers = write_table([*results, windows], tmp_path)
    table = rows(path)
    place = table["system"].index("mask AR@100, untrained")
    assert table["DeepMask"][place] == "2.0 ± 1.4"
    assert table["SharpMask"][place] == table["sliding windows, no network"][place] == "–"
    assert table["sliding windows, no network"][:3] == ["–", "0.7", "–"]
    assert "--systems sliding_windows" not in path.read_text(encoding="utf-8")
    assert json.loads(numbers.read_text())[0]["row"] == "sliding_windows"


def test_the_table_can_be_made_from_its_json(results: list[Any], tmp_path: Path) -> None:
    path, numbers = write_table(results, tmp_path)
    assert sections(json.loads(numbers.read_text())) in path.read_text(encoding="utf-8")


def test_differences_are_within_seeds(results: list[Any], tmp_path: Path) -> None:
    text = write_table(results, tmp_path)[0].read_text(encoding="utf-8")
    line = "| SharpMask 4 | SharpMask - DeepMask | mask AR@100 | +2.0 | +3.0 ± 1.4 |"
    assert line in text.splitlines()  # 24 - 20 and 32 - 30
    assert "residual" not in text


def test_a_single_system_has_no_differences(results: list[Any], tmp_path: Path) -> None:
    text = write_table(results[:1], tmp_path)[0].read_text(encoding="utf-8")
    assert "difference" not in text


def test_the_command_names_all_systems_and_seeds(results: list[Any], tmp_path: Path) -> None:
    results[0]["command"] = "compare --load deepmask=run-1"
    lines = write_table(results, tmp_path)[0].read_text(encoding="utf-8").splitlines()
    assert "`compare --load deepmask=run-1 --systems deepmask --seeds 0`" in lines
    assert "`compare --systems deepmask sharpmask --seeds 0 1`" in lines


def test_the_json_holds_every_seed_and_the_paper(results: list[Any], tmp_path: Path) -> None:
    lines = json.loads(write_table(results, tmp_path)[1].read_text())
    assert [(line["row"], line["seed"]) for line in lines] == [
        ("deepmask", 0), ("deepmask", 1), ("sharpmask", 0), ("sharpmask", 1)
    ]  # fmt: skip
    assert lines[0]["paper"]["box AR@10"] == 18.0
    assert "curves" in results[0], "the results themselves are not changed"


def test_one_picture_per_kind_has_all_systems(
    results: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Any] = {}

    def keep(curves: Any, path: Path, *, title: str) -> Path:
        drawn[path.name] = curves
        return path

    monkeypatch.setattr("tensormask_zoo.comparison.picture.save_recall_curves", keep)
    save_pictures(results, tmp_path)
    assert sorted(drawn) == ["small-boundary.png", "small-box.png", "small-mask.png"]
    assert list(drawn["small-mask.png"]) == ["DeepMask", "SharpMask"]
    assert drawn["small-mask.png"]["DeepMask"].recall == pytest.approx(0.25)


def test_pictures_are_drawn(results: list[Any], tmp_path: Path) -> None:
    for path in save_pictures(results, tmp_path):
        assert path.read_bytes()[1:4] == b"PNG"
