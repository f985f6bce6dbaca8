"""Every configuration of detectors builds, with TensorMask and the baseline, as published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tensormask_zoo.command_line import CONFIGS, ZooCLI, build
from tensormask_zoo.mask_rcnn import MaskRCNN
from tensormask_zoo.schedule import Optimisation
from tensormask_zoo.tensormask import TensorMask

PUBLISHED = sorted(path.stem for path in CONFIGS.glob("coco_r*.yaml"))
RECIPES = sorted(
    path.stem for path in CONFIGS.glob("*.yaml") if not path.stem.startswith("proposals")
)
pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loaders and devices


def configured(name: str, coco_root: Path, *more: str) -> ZooCLI:
    """Build a configuration as on one CPU, without the weights that it would download."""
    args = ["--trainer.accelerator=cpu", "--trainer.logger=false", "--trainer.devices=1", *more]
    if name != "shapes":
        args.append(f"--data.root={coco_root}")
    if name in PUBLISHED:
        args.append("--model.settings.weights_backbone=null")
    with torch.device("meta"):
        return build(args, CONFIGS / f"{name}.yaml", save_config_callback=None)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_builds(name: str, coco_root: Path) -> None:
    cli = configured(name, coco_root)
    assert isinstance(cli.model.model, TensorMask)
    assert cli.model.hparams["num_classes"] == 5


@pytest.mark.parametrize("name", RECIPES)
def test_the_baseline_takes_every_recipe(name: str, coco_root: Path) -> None:
    trunk = {"coco_r50": "resnet50", "coco_r101": "resnet101"}.get(name[:-3], "small")
    model = f"mask_rcnn_{trunk}_fpn"
    cli = configured(name, coco_root, "--model", model)
    assert isinstance(cli.model.model, MaskRCNN)
    assert cli.model.hparams["name"] == model


def test_there_are_both_lengths_for_both_trunks() -> None:
    assert PUBLISHED == ["coco_r101_1x", "coco_r101_6x", "coco_r50_1x", "coco_r50_6x"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_schedule_is_the_published_one(name: str, coco_root: Path) -> None:
    cli = configured(name, coco_root)
    recipe: Optimisation = cli.model.optimisation
    length = cli.trainer.max_steps
    assert length == (90_000 if name.endswith("1x") else 540_000)
    rates = [0.02 * recipe.factor(s / length, s) for s in (0, 500, 1000, length // 2, length - 1)]
    assert rates == pytest.approx([2e-5, 0.01001, 0.02, 0.02, 2e-4])
    (group,) = recipe.optimizer([torch.nn.Parameter(torch.zeros(1))]).param_groups
    assert (group["momentum"], group["weight_decay"]) == (0.9, 1e-4)


def test_the_rate_falls_at_the_published_iterations(coco_root: Path) -> None:
    def falls(name: str) -> list[int]:
        recipe, near = (
            configured(name, coco_root).model.optimisation,
            range(60_000, 540_001, 10_000),
        )
        return [s for s in near if recipe.factor(0, s) < 0.5 * recipe.factor(0, s - 1)]

    assert falls("coco_r50_1x") == [60_000, 80_000]
    assert falls("coco_r101_6x") == [480_000, 520_000]


@pytest.mark.parametrize(
    ("name", "shortest"), [("coco_r50_1x", (800, 800)), ("coco_r101_6x", (640, 800))]
)
def test_images_are_resized_as_published(
    name: str, shortest: tuple[int, int], coco_root: Path
) -> None:
    transform: Any = configured(name, coco_root).model.model.transform
    assert (min(transform.min_size), max(transform.min_size)) == shortest
    assert transform.min_size[-1] == 800  # in evaluation
    assert transform.max_size == 1333
