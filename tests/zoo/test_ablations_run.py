"""Runs of the grid: what is finished is not repeated, and a killed run goes on where it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tensormask_zoo.ablations import run as runs
from tensormask_zoo.ablations.grid import TABLES
from tensormask_zoo.ablations.run import Plan, results_of, run

SCRIPT = Path(__file__).resolve().parents[2] / "reference" / "ablations.py"
TINY = (
    "--data.image_size=[64,64]", "--data.size_px=[12,40]", "--data.val_length=3",
    "--data.batch_size=2", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false",
    "--trainer.precision=32-true",
)  # fmt: skip
ROWS = ("simple_natural", "bipyramid")


def plan(**changes: Any) -> Plan:
    settings: dict[str, Any] = {
        "protocol": "joint",
        "config": "ablations/shapes",
        "rows": ROWS,
        "fields": TINY,
        "iterations": 2,
    }
    return Plan(**{**settings, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("grid")
    run(plan(), [0], output)
    return output


def test_every_row_and_reading_has_a_result(finished: Path) -> None:
    results = {one["row"]: one for one in results_of(finished)}
    assert set(results) == {*ROWS, "mask_box_nms"}
    one = results["bipyramid"]
    assert (one["seed"], one["iterations"], one["images"]) == (0, 2, 3)
    assert one["sizes_px"] == list(runs.SHAPES_SIZES_PX)
    assert one["command"].startswith(
        "python reference/ablations.py --protocol joint --iterations 2 "
        "--config ablations/shapes --rows simple_natural bipyramid --data.image_size"
    )


def test_the_rows_of_the_tables_are_named_together() -> None:
    tables = plan(rows=TABLES)
    assert " --rows tables " in tables.command(tables.rows)


def test_what_is_finished_is_not_repeated(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "build", lambda *_: pytest.fail("trains again"))
    run(plan(), [0], finished)


def test_a_lost_result_is_read_off_the_checkpoint(finished: Path) -> None:
    path = finished / "joint" / "seed-0" / "rows" / "bipyramid.json"
    before = path.read_text()
    path.unlink()
    run(plan(), [0], finished)
    assert path.read_text() == before


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runs, "evaluate", killed)
        with pytest.raises(KeyboardInterrupt):
            run(plan(rows=ROWS[:1], iterations=1), [0], tmp_path)
    (tmp_path / "joint" / "plan.json").unlink()  # the same run, had it been killed earlier
    seen = []
    build = runs.build

    def spied(*args: Any) -> Any:
        seen.append(build(*args))
        return seen[-1]

    monkeypatch.setattr(runs, "build", spied)
    run(plan(rows=ROWS[:1], iterations=3), [0], tmp_path)
    (steps,) = [cli.trainer.fit_loop.epoch_loop.batch_progress.current.ready for cli in seen]
    assert results_of(tmp_path)[0]["iterations"] == 3
    assert steps == 3


def test_results_of_different_plans_do_not_mix(finished: Path) -> None:
    with pytest.raises(ValueError, match="iterations: 2 -> 4; give another --output"):
        run(plan(iterations=4), [0], finished)


def test_single_rows_are_trained_apart(tmp_path: Path) -> None:
    single = plan(protocol="single", iterations=1)
    assert [rows for _, rows in single.trainings()] == [(row,) for row in ROWS]
    run(plan(protocol="single", rows=ROWS[1:], iterations=1), [0], tmp_path)
    assert {one["row"] for one in results_of(tmp_path)} == {"bipyramid", "mask_box_nms"}


def test_unknown_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="no row named 'tripyramid'; there are simple_natural"):
        plan(rows=("tripyramid",))


def test_the_script_writes_one_table(tmp_path: Path) -> None:
    args = ["--minutes", "0.01", "--rows", "simple_natural", "--output", str(tmp_path), *TINY]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *args], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[-3:] == [
        str(tmp_path / name) for name in ("table.md", "table.json", "bars.png")
    ]
    (one,) = results_of(tmp_path)
    assert one["scores"]["AP"] is not None
