"""The command line of all scripts: every field of model, data and trainer, from YAML and flags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from tensormask_zoo.data.module import InstanceData
from tensormask_zoo.detector import Detector

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
DEFAULT_CONFIG = CONFIGS / "shapes.yaml"


class ZooCLI(LightningCLI):
    """Lightning's command line with the data module's classes linked into the model."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Tell the model how many classes the data has, and add the path to resume from."""
        parser.link_arguments("data.num_classes", "model.num_classes", apply_on="instantiate")
        parser.link_arguments("data.class_names", "model.class_names", apply_on="instantiate")
        parser.add_argument("--resume", type=str, default=None, help="checkpoint to go on from")


def build(args: list[str] | None = None, config: Path = DEFAULT_CONFIG, **options: Any) -> ZooCLI:
    """Return model, data and trainer as configured by ``config`` and the command line.

    Args:
        args: instead of the process's command line.
        config: the YAML file below everything that the command line says.
        options: further arguments of :class:`lightning.pytorch.cli.LightningCLI`.
    """
    return ZooCLI(
        Detector,
        InstanceData,
        subclass_mode_data=True,
        run=False,
        args=args,
        parser_kwargs={"default_config_files": [str(config)]},
        save_config_kwargs={"overwrite": True},
        **options,
    )
