"""Runs of the grid: trainings that can be killed and go on, and results that are written once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml  # type: ignore[import-untyped]  # comes with jsonargparse, without stubs
from tqdm import tqdm

from tensormask_zoo.ablations.grid import BASE, READINGS, ROWS, TABLES
from tensormask_zoo.ablations.joint import joint
from tensormask_zoo.ablations.scores import COCO_SIZES_PX, MaskScores
from tensormask_zoo.command_line import CONFIGS, ZooCLI, build
from tensormask_zoo.evaluation import ImageResult
from tensormask_zoo.files import write_json
from tensormask_zoo.models import MODELS
from tensormask_zoo.runs import keep_plan, last_checkpoint, newest_checkpoint

JOINT = "tensormask_joint"  # the name that `run` enters the joint model under, for the trainer
SHAPES_SIZES_PX = (24.0, 48.0)  # large: seldom fits the finest level's windows, of 60 px
Protocol = Literal["joint", "single"]
Result = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is run, and what a result depends on, seeds apart.

    Attributes:
        protocol: "joint" trains all rows on one trunk; "single" trains each row by itself.
        config: configuration of ``train.py`` with the data, the model that rows vary, and the
            trainer: a YAML file, or the name of one in ``reference/configs``.
        rows: names in :data:`ROWS`.
        fields: what ``train.py`` takes on the command line, to override the file.
        iterations: of each training.
        minutes: of each training, instead of iterations.
        sizes_px: an object is small below the first number squared, in area, and large from the
            second squared on; None takes COCO's, or those for generated images.

    Raises:
        ValueError: an unknown row.
    """

    protocol: Protocol
    config: str
    rows: tuple[str, ...] = tuple(ROWS)
    fields: tuple[str, ...] = ()
    iterations: int | None = None
    minutes: float | None = None
    sizes_px: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        unknown = [row for row in self.rows if row not in ROWS]
        if unknown:
            raise ValueError(f"no row named {unknown[0]!r}; there are {', '.join(ROWS)}")

    @property
    def path(self) -> Path:
        """The configuration file."""
        named = CONFIGS / f"{self.config}.yaml"
        return named if named.exists() else Path(self.config)

    @cached_property
    def settings(self) -> Any:
        """The contents of the configuration file."""
        return yaml.safe_load(self.path.read_text())

    @property
    def generated(self) -> bool:
        """Whether images are generated, by a seed of their own."""
        name: str = self.settings["data"]["class_path"]
        return name.endswith("ShapesData")

    @property
    def sizes(self) -> tuple[float, float]:
        """The bounds of small and large objects, px."""
        return self.sizes_px or (SHAPES_SIZES_PX if self.generated else COCO_SIZES_PX)

    @property
    def identity(self) -> dict[str, Any]:
        """What results in one folder have in common."""
        fields = asdict(self)
        if self.protocol == "single":
            del fields["rows"]  # each has its own training
        return fields

    def trainings(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield the name of each training and the rows that it trains."""
        if self.protocol == "joint":
            yield "joint", self.rows
        else:
            yield from ((row, (row,)) for row in self.rows)

    def command(self, rows: Sequence[str]) -> str:
        """Return the command that gives the results of one training, seeds apart."""
        budget = ("minutes", self.minutes) if self.minutes else ("iterations", self.iterations)
        parts = ["python reference/ablations.py", f"--protocol {self.protocol}"]
        parts += ["--{} {:g}".format(*budget), f"--config {self.config}"]
        if tuple(rows) != tuple(ROWS):
            names = ("tables",) if tuple(rows) == TABLES else rows
            parts.append(f"--rows {' '.join(names)}")
        if self.sizes_px:
            parts.append("--sizes {:g} {:g}".format(*self.sizes_px))
        return " ".join([*parts, *self.fields])


def run(plan: Plan, seeds: Sequence[int], output: Path) -> None:
    """Train and evaluate what has no result yet.

    Raises:
        ValueError: results of another plan in ``output``.
    """
    folder = output / plan.protocol
    keep_plan(plan.identity, folder / "plan.json")
    MODELS[JOINT] = joint
    for seed in seeds:
        for name, rows in plan.trainings():
            results = folder / f"seed-{seed}" / "rows"
            expected = [*rows, *(r for r, (row, _) in READINGS.items() if row in rows)]
            if not all((results / f"{row}.json").exists() for row in expected):
                _train_and_evaluate(plan, rows, seed, folder / f"seed-{seed}" / name)


def results_of(output: Path) -> list[Result]:
    """Return all results below a folder."""
    return [json.loads(path.read_text()) for path in sorted(output.glob("*/seed-*/rows/*.json"))]


def _train_and_evaluate(plan: Plan, rows: Sequence[str], seed: int, folder: Path) -> None:
    before = newest_checkpoint(folder)
    cli = build(_arguments(plan, rows, seed, folder), plan.path)
    if cli.model.optimisation.method != "adamw":
        raise ValueError("rows that share a trunk expect AdamW: --model.optimisation.method adamw")
    cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=before, weights_only=True)
    cli.trainer.save_checkpoint(last_checkpoint(cli.trainer.log_dir), weights_only=False)
    for row, scores in evaluate(cli, plan.sizes).items():
        result = {
            "row": row,
            "protocol": plan.protocol,
            "seed": seed,
            "command": plan.command(rows),
            "iterations": cli.trainer.global_step,
            "images": len(cli.datamodule.val_set),
            "sizes_px": plan.sizes,
            "scores": scores,
        }
        write_json(result, folder.parent / "rows" / f"{row}.json")


def evaluate(cli: ZooCLI, sizes_px: tuple[float, float]) -> dict[str, dict[str, float | None]]:
    """Return the mask AP of every row on all validation images."""
    model = cli.model.to(cli.trainer.strategy.root_device).eval()
    scores = MaskScores(
        model.class_names, sizes_px=sizes_px, max_detections=cli.model.max_detections
    )
    found: dict[str, list[ImageResult]] = {}
    for images, targets in tqdm(cli.datamodule.val_dataloader(), desc="detect"):
        for target in targets:
            scores.add(target)
        with cli.trainer.strategy.precision_plugin.forward_context():
            rows = model.model.detect([image.to(model.device) for image in images])
        for row, results in rows.items():
            for (detections, masks), image in zip(results, images, strict=True):
                found.setdefault(row, []).append(ImageResult.of(detections, masks, image))
    return {row: scores.of(results) for row, results in tqdm(found.items(), desc="score")}


def _arguments(plan: Plan, rows: Sequence[str], seed: int, folder: Path) -> list[str]:
    """Return the command line of ``train.py`` that trains some rows together."""
    model = plan.settings["model"]
    settings = {
        "base": model["name"],
        "rows": {row: {**model.get("settings", {}), **BASE, **ROWS[row]} for row in rows},
        "readings": READINGS,
    }
    trainer: dict[str, Any] = {"limit_val_batches": 0, "default_root_dir": folder}
    if plan.minutes:
        trainer |= {"max_steps": -1, "max_time": _clock(plan.minutes)}
    else:
        trainer |= {"max_steps": plan.iterations, "max_time": "null"}
    return [
        f"--seed_everything={seed}",
        f"--model.name={JOINT}",
        f"--model.settings={json.dumps(settings)}",
        *([f"--data.init_args.seed={seed}"] if plan.generated else []),
        *(f"--trainer.{name}={value}" for name, value in trainer.items()),
        *plan.fields,
    ]


def _clock(minutes: float) -> str:
    """Write a time, of at least a second, as days, hours, minutes and seconds."""
    left, seconds = divmod(max(1, round(minutes * 60)), 60)
    hours, left = divmod(left, 60)
    return ":".join(f"{part:02d}" for part in (*divmod(hours, 24), left, seconds))
