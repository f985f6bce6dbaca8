"""Trainings that can be killed and go on, and results that are written once."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import torch
import yaml  # type: ignore[import-untyped]  # comes with jsonargparse, without stubs

from tensormask_zoo.command_line import CONFIGS, ZooCLI, build
from tensormask_zoo.comparison.measure import measure, measure_windows
from tensormask_zoo.comparison.systems import BASELINE, RATES, SYSTEMS, Size
from tensormask_zoo.files import write_json
from tensormask_zoo.runs import checkpoint_of, keep_plan, last_checkpoint, newest_checkpoint

Result = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What all systems have in common, and what a result depends on, seeds apart.

    Attributes:
        size: "small" models train on a CPU; "published" ones are those of the papers.
        config: configuration of ``train.py`` with the data, the optimiser and the trainer: a YAML
            file, or the name of one in ``reference/configs``.
        fields: what ``train.py`` takes on the command line, to override the file.
        iterations: of each training.
        minutes: of each training, instead of iterations.
        images: how many of the first validation images are measured; None for all.

    Raises:
        ValueError: not exactly one of ``iterations`` and ``minutes``.
    """

    size: Size = "small"
    config: str = "proposals_shapes"
    fields: tuple[str, ...] = ()
    iterations: int | None = None
    minutes: float | None = None
    images: int | None = None

    def __post_init__(self) -> None:
        if (self.iterations is None) == (self.minutes is None):
            raise ValueError(
                f"expected iterations or minutes, got {self.iterations} and {self.minutes}"
            )

    @property
    def path(self) -> Path:
        """The configuration file."""
        named = CONFIGS / f"{self.config}.yaml"
        return named if named.exists() else Path(self.config)

    @cached_property
    def generated(self) -> bool:
        """Whether images are generated, by a seed of their own."""
        name: str = yaml.safe_load(self.path.read_text())["data"]["class_path"]
        return name.endswith("ShapesData")

    def arguments(self, system: str, seed: int, trainer: Mapping[str, Any]) -> list[str]:
        """Return the command line of ``train.py`` for a system."""
        name, settings = SYSTEMS[system].build(self.size)
        rate = RATES.get((SYSTEMS[system].model, self.size))
        return [
            f"--seed_everything={seed}",
            f"--model.name={name}",
            f"--model.settings={json.dumps(settings)}",
            "--model.evaluate_as=proposals",
            *([f"--model.optimisation.lr={rate}"] if rate else []),
            *([f"--data.init_args.seed={seed}"] if self.generated else []),
            *(f"--trainer.{key}={value}" for key, value in trainer.items()),
            *self.fields,
        ]

    def command(self, load: str | None = None) -> str:
        """Return the command that gives results, systems and seeds apart."""
        budget = ("minutes", self.minutes) if self.minutes else ("iterations", self.iterations)
        parts = [f"python reference/compare.py --size {self.size}", "--{} {:g}".format(*budget)]
        parts.append(f"--config {shlex.quote(self.config)}")
        if self.images is not None:
            parts.append(f"--images {self.images}")
        if load:
            parts.append(f"--load {shlex.quote(load)}")
        return " ".join([*parts, *map(shlex.quote, self.fields)])


def compare(
    plan: Plan,
    systems: Sequence[str],
    seeds: Sequence[int],
    output: Path,
    loaded: Mapping[str, str] | None = None,
) -> None:
    """Train and measure what has no result yet, and sliding windows on the same images.

    Processes with different seeds may share ``output``.

    Args:
        plan: what all have in common.
        systems: names in :data:`SYSTEMS`.
        seeds: each is a training of its own.
        output: folder of trainings and results.
        loaded: systems to load instead of training them, and the folders of their runs.

    Raises:
        ValueError: an unknown system, or results of another plan in ``output``.
    """
    if unknown := [name for name in (*systems, *(loaded or ())) if name not in SYSTEMS]:
        raise ValueError(f"no system named {unknown[0]!r}; there are {', '.join(SYSTEMS)}")
    folder = output / plan.size
    keep_plan(asdict(plan), folder / "plan.json")
    for seed in seeds:
        path = folder / f"seed-{seed}" / "rows" / f"{BASELINE}.json"
        if not path.exists():
            write_json(_windows(plan, seed), path)
    for seed, name in product(seeds, systems):
        trained = SYSTEMS[name].of or name
        run = (loaded or {}).get(trained)
        here = folder / f"seed-{seed}"
        path = here / "rows" / f"{name}.json"
        if not _is_of(path, run):
            own = here / trained
            weights = checkpoint_of(Path(run)) if run else _trained(plan, trained, seed, own)
            command = plan.command(f"{trained}={run}" if run else None)
            result = _result(plan, name, seed, weights)
            write_json(result | {"command": command, "loaded": run}, path)


def _is_of(path: Path, run: str | None) -> bool:
    """Tell whether a result is there, and of those weights."""
    return path.exists() and json.loads(path.read_text())["loaded"] == run


def _trained(plan: Plan, system: str, seed: int, folder: Path) -> Path:
    """Return the weights of a finished training, going on with one that was killed."""
    for run in folder.glob("run-*"):
        if last_checkpoint(run).exists():
            return last_checkpoint(run)
    before = newest_checkpoint(folder)
    arguments = plan.arguments(system, seed, dict(_budget(plan), default_root_dir=folder))
    cli = build(arguments, plan.path)
    cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=before, weights_only=True)
    path = last_checkpoint(cli.trainer.log_dir)
    cli.trainer.save_checkpoint(path, weights_only=False)
    return path


def _budget(plan: Plan) -> Iterator[tuple[str, Any]]:
    yield "limit_val_batches", 0
    if plan.minutes:
        yield "max_steps", -1
        yield "max_time", json.dumps({"seconds": max(1, round(60 * plan.minutes))})
    else:
        yield "max_steps", plan.iterations
        yield "max_time", "null"


def _windows(plan: Plan, seed: int) -> Result:
    """Measure sliding windows."""
    cli = _measured(plan, next(iter(SYSTEMS)), seed)
    facts = {"row": BASELINE, "protocol": plan.size, "seed": seed, "command": plan.command()}
    return facts | measure_windows(cli, plan.images)


def _measured(plan: Plan, system: str, seed: int) -> ZooCLI:
    """Return a system as initialised, and data, for no training."""
    arguments = plan.arguments(system, seed, {"logger": "false"})
    return build(arguments, plan.path, save_config_callback=None)


def _result(plan: Plan, system: str, seed: int, weights: Path) -> Result:
    """Measure a system; a reading of another system's weights has settings of its own.

    What is no variant of another system is measured before its first step, too.
    """
    cli = _measured(plan, system, seed)
    before = None if SYSTEMS[system].is_variant else measure(cli, plan.images)["scores"]
    content = torch.load(weights, map_location="cpu", weights_only=True)
    cli.model.load_state_dict(content["state_dict"])
    return {
        "row": system,
        "protocol": plan.size,
        "seed": seed,
        "iterations": content["global_step"],
        "untrained": before,
        **measure(cli, plan.images),
    }
