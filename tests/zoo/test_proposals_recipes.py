"""Configurations of the proposal systems: they build, and follow the published schedules."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tensormask_zoo.command_line import CONFIGS, ZooCLI, build
from tensormask_zoo.models import CLASS_AGNOSTIC
from tensormask_zoo.schedule import Optimisation

PUBLISHED = sorted(path.stem for path in CONFIGS.glob("proposals_coco_*.yaml"))
PUBLISHED.remove("proposals_coco_tiny")
SMALL = ("proposals_coco_tiny", "proposals_nuclei", "proposals_shapes")
SYSTEMS = sorted(name for name in CLASS_AGNOSTIC if name.endswith("small"))
pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loaders and devices


def configured(name: str, coco_root: Path, *more: str) -> ZooCLI:
    """Build a configuration as on one CPU, without the weights that it would download."""
    args = ["--trainer.accelerator=cpu", "--trainer.logger=false", "--trainer.devices=1", *more]
    if "shapes" not in name:
        args.append(f"--data.root={coco_root}")
    if name in PUBLISHED and "sharpmask" not in name:
        args.append("--model.settings.weights_backbone=null")
    with torch.device("meta"):
        return build(args, CONFIGS / f"{name}.yaml", save_config_callback=None)


def rates(recipe: Optimisation, *steps: float) -> list[float]:
    return [recipe.lr * recipe.factor(0, int(step)) for step in steps]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_small_system_takes_every_small_recipe(
    name: str, system: str, coco_root: Path
) -> None:
    cli = configured(name, coco_root, "--model", system)
    assert cli.model.hparams["name"] == system
    assert cli.model.results_are == "proposals"


def test_there_is_a_published_recipe_for_each_system() -> None:
    assert [name.split("_")[-1] for name in PUBLISHED] == [
        "deepmask", "fastmask", "instancefcn", "sharpmask"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "length", "decay", "momentum", "steps", "expected"),
    [
        ("deepmask", 1_200_000, 5e-4, 0.9, (0, 2e5 - 1, 2e5, 4.8e5), (1e-3, 1e-3, 5e-4, 1e-4)),
        ("sharpmask", 1_200_000, 0.0, 0.0, (0, 400_000), (1e-3, 1e-3)),
        ("instancefcn", 40_000, 5e-4, 0.9, (0, 31_999, 32_000), (1e-3, 1e-3, 1e-4)),
        ("fastmask", 1_000_000, 5e-5, 0.9, (0, 499_999, 500_000), (1e-3, 1e-3, 1e-4)),
    ],
)  # fmt: skip
def test_the_schedule_is_the_published_one(
    name: str,
    length: int,
    decay: float,
    momentum: float,
    steps: tuple[float, ...],
    expected: tuple[float, ...],
    coco_root: Path,
) -> None:
    cli = configured(f"proposals_coco_{name}", coco_root)
    recipe = cli.model.optimisation
    (group,) = recipe.optimizer([torch.nn.Parameter(torch.zeros(1))]).param_groups
    assert (cli.trainer.max_steps, group["weight_decay"], group["momentum"]) == (
        length, decay, momentum
    )  # fmt: skip
    assert rates(recipe, *steps) == pytest.approx(expected)


def test_only_the_refinement_trains_in_sharpmasks_second_stage(coco_root: Path) -> None:
    model = configured("proposals_coco_sharpmask", coco_root).model.model
    trained = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"refiner"}
