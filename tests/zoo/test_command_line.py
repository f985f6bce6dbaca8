"""What the command line takes and refuses, and where runs are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tensormask_zoo.command_line import CONFIGS, build
from tensormask_zoo.runs import checkpoint_of, config_of, new_run

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loaders and devices


def refused(args: Sequence[str], capsys: pytest.CaptureFixture[str], **options: Any) -> str:
    """What the command line says against some arguments."""
    with pytest.raises(SystemExit):
        build([*args], **options)
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("--model.nombre=x", "nombre"),
        ("--data.image_sizes=[3,3]", "image_sizes"),
        ("--trainer.maximum=3", "maximum"),
        ("--model.optimisation.lrate=3", "lrate"),
        ("--model.optimisation.lr=fast", "fast"),
        ("--data=NoSuchData", "NoSuchData"),
    ],
)
def test_a_wrong_field_is_named(field: str, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert named in refused([field], capsys)


def test_a_data_set_without_its_folder_asks_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert "root" in refused([], capsys, config=CONFIGS / "nuclei.yaml")


@pytest.mark.parametrize("args", [["--model", "no_such_model"], ["--model=no_such_model"]])
def test_an_unknown_model_is_named_on_the_command_line(args: list[str]) -> None:
    with pytest.raises(ValueError, match="no model named 'no_such_model'; there are deepm"):
        build(args)


@pytest.mark.parametrize("flag", ["--model={}", "--model {}"])
def test_the_model_may_still_be_a_file(tmp_path: Path, flag: str) -> None:
    (tmp_path / "model.yaml").write_text("name: mask_rcnn_small_fpn")
    args = flag.format(tmp_path / "model.yaml").split(" ")
    cli = build([*args, "--trainer.logger=false"])
    assert cli.model.hparams["name"] == "mask_rcnn_small_fpn"


@pytest.mark.parametrize("config", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.stem)
def test_configurations_hold_no_path_of_a_machine(config: Path) -> None:
    assert ": /" not in config.read_text()


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/config.yaml does not exist"):
        config_of(tmp_path)


def test_the_newest_checkpoint_of_a_run_counts(tmp_path: Path) -> None:
    for age, name in enumerate(("step=20.ckpt", "last.ckpt", "step=10.ckpt")):
        path = tmp_path / "checkpoints" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (0, 1000 - age))
    assert checkpoint_of(tmp_path).name == "step=20.ckpt"


def test_runs_are_numbered(tmp_path: Path) -> None:
    for kept in ("run-9", "run-10-good", "run-best"):
        (tmp_path / kept).mkdir()
    assert [new_run(tmp_path).name, new_run(tmp_path).name] == ["run-10", "run-11"]
