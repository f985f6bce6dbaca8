"""Runs of the grid: trainings that can be killed and go on, and results that are written once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import yaml  # type: ignore[import-untyped]  # comes with jsonargparse, without stubs
from tqdm import tqdm

from tensormask_zoo.ablations.grid import BASE, READINGS, ROWS
from tensormask_zoo.ablations.joint import joint
from tensormask_zoo.ablations.scores import MaskScores
from tensormask_zoo.command_line import ZooCLI, build
from tensormask_zoo.evaluation import ImageResult
from tensormask_zoo.files import write_json
from tensormask_zoo.models import MODELS
from tensormask_zoo.runs import checkpoint_of, last_checkpoint

JOINT = "tensormask_joint"  # name of the joint model among the models, while a grid runs
Protocol = Literal["joint", "single"]
Result = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is run, and what a result depends on.

    Attributes:
        protocol: "joint" trains all rows on one trunk; "single" trains each row by itself.
        config: YAML file of ``train.py`` with the data, the model that rows vary, and the trainer.
        fields: what ``train.py`` takes on the command line, to override the file.
        iterations: of each training.
        minutes: of each training, instead of iterations.
        sizes_px: an object is small below the first number squared, in area, and large from the
            second squared on.
    """

    protocol: Protocol
    config: str
    fields: tuple[str, ...] = ()
    iterations: int | None = None
    minutes: float | None = None
    sizes_px: tuple[float, float] = (32.0, 96.0)

    def command(self, rows: Sequence[str]) -> str:
        """Return the command that gives the results of ``rows``, seeds apart."""
        budget = (
            f"--minutes {self.minutes:g}" if self.minutes else f"--iterations {self.iterations}"
        )
        parts = ["python reference/ablations.py", f"--protocol {self.protocol}", budget]
        parts.append(f"--config {self.config}")
        if set(rows) != set(ROWS):
            parts.append(f"--rows {' '.join(rows)}")
        return " ".join([*parts, *self.fields])


def run(plan: Plan, rows: Sequence[str], seeds: Sequence[int], output: Path) -> None:
    """Train and evaluate what has no result yet.

    Raises:
        ValueError: an unknown row, or results of another plan in ``output``.
    """
    unknown = [row for row in rows if row not in ROWS]
    if unknown:
        raise ValueError(f"no row named {unknown[0]!r}; there are {', '.join(ROWS)}")
    folder = output / plan.protocol
    _check_plan(plan, folder / "plan.json")
    MODELS[JOINT] = joint
    for seed in seeds:
        for name, together in _trainings(plan.protocol, rows):
            results = folder / f"seed-{seed}" / "rows"
            expected = [*together, *(r for r, (row, _) in READINGS.items() if row in together)]
            if not all((results / f"{row}.json").exists() for row in expected):
                _train_and_evaluate(plan, together, seed, folder / f"seed-{seed}" / name, results)


def results_of(output: Path) -> list[Result]:
    """Return all results below a folder."""
    return [json.loads(path.read_text()) for path in sorted(output.glob("*/seed-*/rows/*.json"))]


def _trainings(protocol: Protocol, rows: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each training and its rows."""
    if protocol == "joint":
        yield "joint", list(rows)
    else:
        yield from ((row, [row]) for row in rows)


def _check_plan(plan: Plan, path: Path) -> None:
    """Keep results of different plans apart."""
    mine = json.loads(json.dumps(asdict(plan)))
    if not path.exists():
        write_json(mine, path)
    before = json.loads(path.read_text())
    if before != mine:
        changed = ", ".join(
            f"{k} {before.get(k)} -> {mine[k]}" for k in mine if mine[k] != before.get(k)
        )
        raise ValueError(
            f"{path.parent} expects the plan of the results in it, got {changed}; "
            "give another --output"
        )


def _train_and_evaluate(
    plan: Plan, rows: list[str], seed: int, folder: Path, results: Path
) -> None:
    cli = build(_arguments(plan, rows, seed, folder), Path(plan.config))
    if cli.model.optimisation.method != "adamw":
        raise ValueError("rows that share a trunk expect AdamW; --model.optimisation.method adamw")
    run_folder = Path(cli.trainer.log_dir or folder)
    before = _newest_checkpoint(folder)
    cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=before, weights_only=True)
    cli.trainer.save_checkpoint(last_checkpoint(run_folder), weights_only=False)
    scores = evaluate(cli, plan.sizes_px)
    for row, values in scores.items():
        result = {
            "row": row,
            "protocol": plan.protocol,
            "seed": seed,
            "command": plan.command(rows),
            "iterations": cli.trainer.global_step,
            "images": len(cli.datamodule.val_set),
            "scores": values,
        }
        write_json(result, results / f"{row}.json")


def evaluate(cli: ZooCLI, sizes_px: tuple[float, float]) -> dict[str, dict[str, float]]:
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


def _newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint of the runs in a folder."""
    runs = [run for run in folder.glob("run-*") if any(run.glob("checkpoints/*.ckpt"))]
    if not runs:
        return None
    return checkpoint_of(max(runs, key=lambda run: checkpoint_of(run).stat().st_mtime))


def _arguments(plan: Plan, rows: list[str], seed: int, folder: Path) -> list[str]:
    """Return the command line of ``train.py`` that trains some rows together."""
    config = yaml.safe_load(Path(plan.config).read_text())
    common = {**config["model"].get("settings", {}), **BASE}
    settings = {
        "base": config["model"]["name"],
        "rows": {row: _merged(common, ROWS[row]) for row in rows},
        "readings": READINGS,
    }
    minutes = plan.minutes or 0
    length = f"00:{int(minutes // 60):02d}:{int(minutes % 60):02d}:{int(minutes * 60 % 60):02d}"
    budget = {
        "max_steps": -1 if plan.minutes else plan.iterations,
        "max_time": length if plan.minutes else "null",
    }
    trainer = {"limit_val_batches": 0, "default_root_dir": folder, **budget}
    own_seed = config["data"]["class_path"].endswith("ShapesData")
    return [
        f"--seed_everything={seed}",
        f"--model.name={JOINT}",
        f"--model.settings={json.dumps(settings)}",
        *([f"--data.init_args.seed={seed}"] if own_seed else []),
        *(f"--trainer.{name}={value}" for name, value in trainer.items()),
        *plan.fields,
    ]


def _merged(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with those of dictionaries merged key by key."""
    return {
        name: {**common[name], **own.get(name, {})}
        if isinstance(common.get(name), dict)
        else own.get(name, common.get(name))
        for name in {**common, **own}
    }
