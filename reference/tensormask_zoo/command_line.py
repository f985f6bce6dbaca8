"""The command line of all scripts: every field of model, data and trainer, from YAML and flags."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from tensormask_zoo.data.module import InstanceData
from tensormask_zoo.detector import Detector
from tensormask_zoo.runs import new_run

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
DEFAULT_CONFIG = CONFIGS / "shapes.yaml"
CHECKPOINT_EVERY = timedelta(minutes=1)  # a killed run loses no more than this


class ZooCLI(LightningCLI):
    """Lightning's command line with the data module's classes linked into the model."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Tell the model how many classes the data has, and add the path to resume from."""
        parser.link_arguments("data.num_classes", "model.num_classes", apply_on="instantiate")
        parser.link_arguments("data.class_names", "model.class_names", apply_on="instantiate")
        parser.add_argument("--resume", type=str, default=None, help="checkpoint to go on from")
        start = "checkpoint whose weights to start from, such as SharpMask's first stage"
        parser.add_argument("--start", type=str, default=None, help=start)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse ``args``, or the process's own, with ``--model NAME`` spelt out."""
        self.config = parser.parse_args(named_model(sys.argv[1:] if args is None else args))

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Give a run one folder for its logs, checkpoints, configuration and pictures."""
        trainer = self.config_init["trainer"]
        first = getattr(rank_zero_only, "rank", 0) == 0  # of several processes one writes
        if trainer["logger"] is None and not trainer["fast_dev_run"] and first:
            folder = new_run(Path(trainer["default_root_dir"] or "runs"))
            kwargs["logger"] = [
                CSVLogger(folder, name="", version=""),
                TensorBoardLogger(folder, name="", version=""),
            ]
        self.trainer_defaults["callbacks"] = list(_callbacks(trainer))
        return super().instantiate_trainer(**kwargs)


def build(args: list[str] | None = None, config: Path = DEFAULT_CONFIG, **options: Any) -> ZooCLI:
    """Return model, data and trainer as configured by ``config`` and the command line.

    Args:
        args: instead of the process's command line; ``--model NAME`` is short for
            ``--model.name NAME``.
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


def named_model(args: Sequence[str]) -> list[str]:
    """Spell out ``--model NAME``, which would otherwise mean a YAML file of the model's fields.

    Example:
        >>> named_model(["--model", "mask_rcnn_resnet50_fpn", "--model=model.yaml"])
        ['--model.name', 'mask_rcnn_resnet50_fpn', '--model=model.yaml']
    """
    spelt = list(args)
    for place, (flag, value) in enumerate(pairwise([*args, ""])):
        if flag == "--model" and value.isidentifier():
            spelt[place] = "--model.name"
        elif flag.startswith("--model=") and flag.removeprefix("--model=").isidentifier():
            spelt[place] = flag.replace("--model=", "--model.name=", 1)
    return spelt


def _callbacks(trainer: Mapping[str, Any]) -> Iterator[Callback]:
    """Yield a run's callbacks, save those that its configuration switches off."""
    if trainer["enable_checkpointing"] is not False:
        yield ModelCheckpoint(filename="{step}", train_time_interval=CHECKPOINT_EVERY)
    if trainer["enable_progress_bar"] is not False:
        yield TQDMProgressBar(refresh_rate=10)
