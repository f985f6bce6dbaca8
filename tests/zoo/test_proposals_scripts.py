"""train.py, evaluate.py and predict.py with a proposal system, on a run of a few steps."""

from __future__ import annotations

import csv
import io
import json
import os
import runpy
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
from PIL import Image

from tensormask_zoo.detector import Detector
from tensormask_zoo.proposals.files import read_proposals
from tensormask_zoo.runs import checkpoint_of

SCRIPTS = Path(__file__).resolve().parents[2] / "reference"
TINY = (
    "--data.image_size=[64,64]",
    "--data.size_px=[12,40]",
    "--data.val_length=3",
    "--data.train_length=4",
    "--data.batch_size=2",
    "--trainer.accelerator=cpu",
    "--trainer.precision=32-true",
    "--trainer.max_time=null",
    "--trainer.max_steps=2",
    "--trainer.log_every_n_steps=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
)
pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loaders and devices


def script(name: str, *args: object) -> None:
    """Run a script as the command line would, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *map(str, args)])
        runpy.run_path(str(SCRIPTS / name), run_name="__main__")


def train(root: Path, model: str, *args: str) -> Path:
    script("train.py", "--model", model, *TINY, f"--trainer.default_root_dir={root}", *args)
    return max(root.glob("run-*"), key=lambda path: path.stat().st_mtime)


@pytest.fixture(scope="module")
def shown() -> io.StringIO:
    """What training printed."""
    return io.StringIO()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, shown: io.StringIO) -> Path:
    """A run of DeepMask on data of five classes."""
    with redirect_stdout(shown):
        return train(tmp_path_factory.mktemp("runs"), "deepmask_small")


def test_a_run_ends_with_recall_beside_sliding_windows(run: Path, shown: io.StringIO) -> None:
    text = shown.getvalue()
    assert text.count("AR@100 ") == 2  # the model's table and that of windows
    assert "sliding windows, without a network" in text
    assert {"overlay.png", "curves.png", "recall.png"} <= {path.name for path in run.iterdir()}


def test_recall_is_logged(run: Path) -> None:
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert any(row["val/mask AR@100"] for row in rows)
    assert any(row["score"] for row in rows)
    assert any(row["mask"] for row in rows)


def test_a_proposal_system_knows_one_class_whatever_the_data(run: Path) -> None:
    detector = Detector.load_from_checkpoint(checkpoint_of(run), weights_only=True)
    assert detector.class_agnostic
    assert len(detector.class_names) == 5


def test_evaluation_exports_proposals(run: Path, tmp_path: Path) -> None:
    script("evaluate.py", run, "--export", tmp_path)
    proposals = dict(read_proposals(tmp_path))
    assert len(proposals) == 3
    assert all(result.rles[0]["size"] == [64, 64] for result in proposals.values())
    assert (run / "evaluation.png").is_file()


def test_the_untrained_network_is_evaluated_and_leaves_the_run_as_it_is(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never_trained = train(tmp_path, "deepmask_small", "--trainer.max_steps=0")
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    seen: list[Detector] = []

    def keep(detector: Detector) -> None:
        seen.append(detector)

    monkeypatch.setattr(Detector, "on_validation_epoch_start", keep)
    script("evaluate.py", run, "--untrained")
    weights = torch.load(checkpoint_of(never_trained), weights_only=True)["state_dict"]
    assert all(torch.equal(value, weights[name]) for name, value in seen[0].state_dict().items())
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_pictures_show_the_best_proposals(run: Path, tmp_path: Path) -> None:
    picture = tmp_path / "ground.png"
    Image.effect_noise((50, 40), 80).save(picture)
    script("predict.py", "--run", run, "--output", tmp_path / "out", picture)
    assert sorted(os.listdir(tmp_path / "out")) == ["000_ground.png", "predictions.json"]
    records = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert {record["category_id"] for record in records} == {1}


def test_a_detector_is_evaluated_as_proposals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(tmp_path, "mask_rcnn_small_fpn", "--model.evaluate_as=proposals")
    assert "AR@1000" in capsys.readouterr().out
    assert (run / "recall.png").is_file()


def test_proposals_have_no_average_precision() -> None:
    with pytest.raises(ValueError, match="evaluate_as expects 'proposals' or null for deepmask"):
        Detector("deepmask_small", evaluate_as="detections")


def test_the_second_stage_starts_from_the_first(run: Path, tmp_path: Path) -> None:
    second = train(
        tmp_path,
        "sharpmask_small",
        "--model.settings.stage=refinement",
        f"--start={checkpoint_of(run)}",
    )
    before, after = (
        torch.load(checkpoint_of(r), weights_only=True)["state_dict"] for r in (run, second)
    )
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert any("refiner" in name for name in after)


def test_weights_of_another_model_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="Missing key"):
        train(tmp_path, "fastmask_small", f"--start={checkpoint_of(run)}")
