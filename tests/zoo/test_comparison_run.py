"""Runs of a comparison: what is finished is not repeated, and a killed run goes on."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tensormask_zoo.comparison import run as runs
from tensormask_zoo.comparison.run import Plan, compare
from tensormask_zoo.detector import Detector

SCRIPT = Path(__file__).resolve().parents[2] / "reference" / "compare.py"
TINY = (
    "--data.image_size=[64,64]", "--data.size_px=[12,40]", "--data.val_length=3",
    "--data.batch_size=2", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false", "--trainer.precision=32-true",
)  # fmt: skip
pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loaders and devices


def plan(**changes: Any) -> Plan:
    return Plan(**{"fields": TINY, "iterations": 1, "images": 2, **changes})


def read(output: Path, system: str, seed: int = 0) -> Any:
    return json.loads((output / "small" / f"seed-{seed}" / "rows" / f"{system}.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system and a reading of its weights."""
    output = tmp_path_factory.mktemp("comparison")
    compare(plan(), ["sharpmask", "sharpmask_coarse"], [0], output)
    return output


def test_results_hold_scores_curves_and_cost(finished: Path) -> None:
    one = read(finished, "sharpmask")
    assert (one["row"], one["protocol"], one["seed"], one["loaded"]) == (
        "sharpmask", "small", 0, None
    )  # fmt: skip
    assert (one["iterations"], one["images"]) == (1, 2)
    assert 0 <= one["scores"]["boundary AR@100"] <= one["scores"]["mask AR@100"] <= 100
    assert set(one["curves"]) == {"mask", "box", "boundary"}
    assert one["cost"]["seconds"] > 0
    assert one["cost"]["parameters"] > 1e5
    assert one["command"].startswith(
        "python reference/compare.py --size small --iterations 1 --config proposals_shapes "
        "--images 2 '--data.image_size=[64,64]'"
    )


def test_a_system_is_measured_before_its_first_step(finished: Path) -> None:
    one = read(finished, "sharpmask")
    assert one["untrained"].keys() == one["scores"].keys()
    assert one["untrained"] != one["scores"]
    assert read(finished, "sharpmask_coarse")["untrained"] is None


def test_sliding_windows_are_measured_on_the_same_images(finished: Path) -> None:
    one = read(finished, "sliding_windows")
    assert (one["row"], one["protocol"], one["seed"]) == ("sliding_windows", "small", 0)
    assert one["images"] == 2
    assert 0 <= one["scores"]["mask AR@100"] < one["scores"]["mask AR@1000"] <= 100
    assert one["scores"]["boundary AR@100"] is None


def test_a_reading_trains_nothing(finished: Path) -> None:
    trained = [path.name for path in (finished / "small" / "seed-0").iterdir()]
    assert sorted(trained) == ["rows", "sharpmask"]
    assert read(finished, "sharpmask_coarse")["iterations"] == 1


def test_what_is_finished_is_not_repeated(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "build", lambda *_, **__: pytest.fail("starts again"))
    compare(plan(), ["sharpmask", "sharpmask_coarse"], [0], finished)


def test_a_lost_result_is_measured_again_without_training(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightning.pytorch.Trainer.fit", lambda *_, **__: pytest.fail("trains"))
    before = read(finished, "sharpmask")
    (finished / "small" / "seed-0" / "rows" / "sharpmask.json").unlink()
    compare(plan(), ["sharpmask"], [0], finished)
    assert read(finished, "sharpmask")["scores"] == before["scores"]


def test_a_killed_training_goes_on_at_its_checkpoint(finished: Path, tmp_path: Path) -> None:
    (last,) = finished.glob("small/seed-0/sharpmask/run-*/checkpoints/last.ckpt")
    half_done = (
        tmp_path / "small" / "seed-0" / "sharpmask" / "run-1" / "checkpoints" / "step=1.ckpt"
    )
    half_done.parent.mkdir(parents=True)
    shutil.copy(last, half_done)
    seen: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Detector, "on_train_batch_end", lambda self, *_: seen.append(self.global_step)
        )
        compare(plan(iterations=3), ["sharpmask"], [0], tmp_path)
    assert seen == [2, 3]  # the first step was in the checkpoint
    assert read(tmp_path, "sharpmask")["iterations"] == 3


def test_a_run_is_loaded_instead_of_training(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightning.pytorch.Trainer.fit", lambda *_, **__: pytest.fail("trains"))
    run = str(finished / "small" / "seed-0" / "sharpmask" / "run-1")
    compare(plan(), ["sharpmask_coarse"], [0], tmp_path, {"sharpmask": run})
    one = read(tmp_path, "sharpmask_coarse")
    assert (one["loaded"], one["iterations"]) == (run, 1)
    assert one["scores"] == read(finished, "sharpmask_coarse")["scores"]
    assert f"--load sharpmask={run}" in one["command"]


def test_weights_of_another_system_are_refused(finished: Path, tmp_path: Path) -> None:
    run = str(finished / "small" / "seed-0" / "sharpmask" / "run-1")
    with pytest.raises(RuntimeError, match="Unexpected key"):
        compare(plan(), ["deepmask"], [0], tmp_path, {"deepmask": run})


def test_results_of_different_plans_do_not_mix(finished: Path) -> None:
    with pytest.raises(ValueError, match="iterations: 1 -> 4; give another --output"):
        compare(plan(iterations=4), ["sharpmask"], [0], finished)


@pytest.mark.parametrize("loaded", [{}, {"boxmask": "run-1"}])
def test_unknown_systems_are_refused(tmp_path: Path, loaded: dict[str, str]) -> None:
    systems = [] if loaded else ["boxmask"]
    with pytest.raises(ValueError, match="no system named 'boxmask'; there are deepmask"):
        compare(plan(), systems, [0], tmp_path, loaded)


@pytest.mark.parametrize("budget", [{"iterations": None}, {"minutes": 1.0}])
def test_a_plan_has_one_budget(budget: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="iterations or minutes"):
        plan(**budget)


def test_minutes_are_a_budget_of_time() -> None:
    timed = plan(iterations=None, minutes=1.5)
    assert dict(runs._budget(timed))["max_time"] == '{"seconds": 90}'
    assert "--minutes 1.5" in timed.command()


def test_the_script_writes_table_and_pictures(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--iterations", "1", "--images", "2", "--systems", "sharpmask", *TINY]
    monkeypatch.setattr(sys, "argv", [SCRIPT.name, *arguments, "--output", str(finished)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    names = ("table.md", "table.json", "small-mask.png", "small-box.png", "small-boundary.png")
    printed = capsys.readouterr().out
    assert printed.split()[-5:] == [str(finished / name) for name in names]
    assert printed.startswith((finished / "table.md").read_text(encoding="utf-8"))
    assert all(f"| {line}" in printed for line in ("SharpMask, not refined", "sliding windows"))
