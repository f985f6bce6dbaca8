"""train.py, evaluate.py and predict.py on a run of a few steps."""

from __future__ import annotations

import csv
import json
import os
import runpy
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tensormask_zoo.calibration import Calibration, Curve
from tensormask_zoo.detector import Detector
from tensormask_zoo.runs import checkpoint_of

SCRIPTS = Path(__file__).resolve().parents[2] / "reference"
TINY = (
    "--data.image_size=[64,64]",
    "--data.size_px=[12,40]",
    "--data.val_length=4",
    "--data.train_length=8",
    "--data.batch_size=2",
    "--trainer.accelerator=cpu",
    "--trainer.precision=32-true",
    "--trainer.max_time=null",
    "--trainer.max_steps=4",
    "--trainer.log_every_n_steps=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
)
pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loaders and devices


class KilledError(Exception):
    """Stands for a power cut."""


def script(name: str, *args: object) -> None:
    """Run a script as the command line would, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *map(str, args)])
        runpy.run_path(str(SCRIPTS / name), run_name="__main__")


def train(root: Path, *args: str) -> Path:
    """Train a few steps and return the folder of the run."""
    script("train.py", *TINY, f"--trainer.default_root_dir={root}", *args)
    return max(root.glob("run-*"), key=lambda path: path.stat().st_mtime)


def column(run: Path, name: str) -> list[float]:
    with (run / "metrics.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed after two of its four steps and went on from its checkpoint."""
    root = tmp_path_factory.mktemp("killed")

    def kill(detector: Detector, *_: Any) -> None:
        if detector.global_step == 2:
            raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tensormask_zoo.command_line.CHECKPOINT_EVERY", timedelta(0))
        patch.setattr(Detector, "on_train_batch_end", kill)
        with pytest.raises(KilledError):
            train(root)
    return train(root, f"--resume={checkpoint_of(root / 'run-1')}")


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of Mask R-CNN with the data and schedule of the others."""
    return train(tmp_path_factory.mktemp("baseline"), "--model", "mask_rcnn_small_fpn")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "ground.png"
    Image.effect_noise((50, 40), 80).save(path)
    return path


def test_a_run_leaves_everything_in_its_folder(run: Path) -> None:
    written = {path.name for path in run.rglob("*") if path.is_file()}
    expected = {"config.yaml", "metrics.csv", "overlay.png", "curves.png", "last.ckpt"}
    assert expected <= written
    assert any(name.startswith("events.out.tfevents") for name in written)


def test_a_run_logs_losses_and_metrics(run: Path) -> None:
    for name in ("loss", "classifier", "box_reg", "mask"):
        assert len(column(run, name)) == 4
    # At the end of the epoch and, on all images, of the run.
    assert len(column(run, "val/mask AP")) == len(column(run, "val/box AP50")) == 2


def test_a_checkpoint_holds_plain_values_only(run: Path) -> None:
    content = torch.load(checkpoint_of(run), weights_only=True)
    assert content["global_step"] == 4
    assert content["hyper_parameters"]["class_names"][0] == "disc"


def test_a_detector_is_read_back_from_its_checkpoint(run: Path) -> None:
    detector = Detector.load_from_checkpoint(checkpoint_of(run), weights_only=True)
    saved = torch.load(checkpoint_of(run), weights_only=True)["state_dict"]
    assert all(torch.equal(value, saved[name]) for name, value in detector.state_dict().items())


def test_evaluation_repeats_the_table_of_the_run(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script("evaluate.py", run, "--ceiling")
    shown = capsys.readouterr().out
    assert "4 images" in shown
    assert shown.count("mask  ") == shown.count("box   ") == 2  # the model's and the ceiling's
    assert (run / "evaluation.png").is_file()
    assert os.listdir(run.parent) == [run.name]  # no folder beside the run


@pytest.mark.parametrize(("more", "images"), [((), 9), (("--trainer.limit_val_batches=4",), 4)])
def test_evaluation_takes_all_images_though_a_run_took_few_on_the_way(
    run: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], images: int
) -> None:
    script("evaluate.py", run, "--data.val_length=9", "--data.batch_size=1", *more)
    assert f"{images} images" in capsys.readouterr().out


def test_evaluation_writes_what_scores_stand_for(run: Path) -> None:
    script("evaluate.py", run)
    calibration = Calibration.read(run / "calibration.json")
    assert next(iter(calibration.curves)) == "disc"
    assert all(0 <= p <= 1 for curve in calibration.curves.values() for p in curve.precision)


def test_the_baseline_trains_and_evaluates_through_the_same_scripts(
    run: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script("evaluate.py", baseline, "--ceiling")
    shown = capsys.readouterr().out
    assert "4 images" in shown
    assert shown.count("mask  ") == shown.count("box   ") == 1
    assert "mask_rcnn_small_fpn has none: only sliding windows are fixed" in shown
    assert len(column(baseline, "val/mask AP")) == len(column(run, "val/mask AP"))
    assert column(baseline, "objectness")


def test_the_baseline_detects_in_pictures(baseline: Path, picture: Path, tmp_path: Path) -> None:
    script("predict.py", "--run", baseline, "--output", tmp_path / "out", picture)
    assert sorted(os.listdir(tmp_path / "out")) == ["000_ground.png", "predictions.json"]


def test_a_killed_run_goes_on_at_its_last_checkpoint(resumed: Path) -> None:
    assert column(resumed, "step")[:2] == [2, 3]


def test_a_killed_run_learns_what_an_unbroken_one_learns(run: Path, resumed: Path) -> None:
    whole, broken = (torch.load(checkpoint_of(r), weights_only=True) for r in (run, resumed))
    assert whole["lr_schedulers"] == broken["lr_schedulers"]
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, broken["state_dict"][name]), name


def test_predictions_are_an_overlay_and_coco_results(
    run: Path, picture: Path, tmp_path: Path
) -> None:
    script("predict.py", "--run", run, "--output", tmp_path / "out", picture, picture)
    names = ["000_ground.png", "001_ground.png", "predictions.json"]
    assert sorted(os.listdir(tmp_path / "out")) == names
    records = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert {tuple(r["segmentation"]["size"]) for r in records} <= {(40, 50)}


def test_an_unreadable_picture_is_named_after_the_others_are_done(
    run: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut, out = tmp_path / "cut.jpg", tmp_path / "out"
    Image.open(picture).convert("RGB").save(cut)
    cut.write_bytes(cut.read_bytes()[:-300])
    with pytest.raises(SystemExit) as stop:
        script("predict.py", "--run", run, "--output", out, cut, picture)
    assert stop.value.code == 1
    assert f"{cut}: truncated or unreadable image" in capsys.readouterr().err
    assert sorted(os.listdir(out)) == ["001_ground.png", "predictions.json"]


def thresholds(run: Path, picture: Path, out: Path, *args: object) -> list[float]:
    """The thresholds that pictures are drawn with."""
    seen: list[float] = []

    def draw(image: torch.Tensor, *_: Any, score_threshold: float) -> torch.Tensor:
        seen.append(score_threshold)
        return image

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tensormask_zoo.predict.draw_predictions", draw)
        script("predict.py", "--run", run, "--output", out, picture, *args)
    return seen


def test_pictures_take_scores_as_they_are_until_they_are_calibrated(
    run: Path, picture: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "calibration.json").unlink(missing_ok=True)
    assert thresholds(copy, picture, tmp_path / "out") == [0.5]
    Calibration({"disc": Curve()}).write(copy / "calibration.json")
    assert thresholds(copy, picture, tmp_path / "out") == [0.6]
    assert thresholds(copy, picture, tmp_path / "out", "--score", 0.3) == [0.3]


def test_predicting_without_a_run_is_refused_in_a_line(
    tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        script("predict.py", "--run", tmp_path, picture)
    assert f"{tmp_path}/checkpoints holds no checkpoint" in capsys.readouterr().err


def test_the_script_starts_from_any_folder(tmp_path: Path) -> None:
    options = (*TINY, "--trainer.precision=bf16-mixed", "--trainer.fast_dev_run=1")
    command = [sys.executable, str(SCRIPTS / "train.py"), *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "ceiling (true windows and targets, pasted)" in done.stdout


def test_two_devices_leave_one_run_though_no_image_shows_an_object(tmp_path: Path) -> None:
    options = (*TINY, "--trainer.devices=2", "--trainer.strategy=ddp", "--data.objects=[0,0]")
    command = [sys.executable, str(SCRIPTS / "train.py"), *options]
    done = subprocess.run(
        [*command, f"--trainer.default_root_dir={tmp_path}"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert os.listdir(tmp_path) == ["run-1"]
    assert done.stdout.count("validation images, 4 iterations") == 1
    assert len(column(tmp_path / "run-1", "loss")) == 4
