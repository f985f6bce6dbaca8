"""The configurations for real images, for three steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from tensormask_zoo.command_line import CONFIGS, build

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loaders and devices


@pytest.mark.parametrize(("config", "folder"), [("nuclei", "nuclei"), ("coco_tiny", "coco-tiny")])
def test_three_steps_on_real_images_end_in_metrics(
    shared_dir: Path, tmp_path: Path, config: str, folder: str
) -> None:
    args = {
        "data.root": shared_dir / "data" / folder,
        "data.batch_size": 2,
        "trainer.default_root_dir": tmp_path,
        "trainer.accelerator": "cpu",
        "trainer.precision": "32-true",
        "trainer.max_steps": 3,
        "trainer.limit_val_batches": 2,
        "trainer.enable_progress_bar": "false",
    }
    cli = build([f"--{name}={value}" for name, value in args.items()], CONFIGS / f"{config}.yaml")
    cli.trainer.fit(cli.model, cli.datamodule)
    assert cli.trainer.global_step == 3
    cli.trainer.validate(cli.model, cli.datamodule, verbose=False)
    assert 0 <= cli.model.metrics["mask AP"] < 0.5
