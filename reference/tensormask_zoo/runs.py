"""The folder of a run: its number, its configuration, last checkpoint and calibration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensormask_zoo.files import write_json


def new_run(root: Path) -> Path:
    """Make and return the next folder of ``root``: ``run-1``, ``run-2``, ..."""
    numbers = [path.name.removeprefix("run-") for path in root.glob("run-*")]
    last = max((int(number) for number in numbers if number.isdecimal()), default=0)
    folder = root / f"run-{last + 1}"
    folder.mkdir(parents=True)
    return folder


def config_of(run: Path) -> Path:
    """Return the configuration that a run was started with.

    Raises:
        FileNotFoundError: the folder holds none.
    """
    path = run / "config.yaml"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; give the folder that train.py printed after 'run:'"
        )
    return path


def last_checkpoint(run: str | Path | None) -> Path:
    """Return where a run leaves its final checkpoint."""
    return Path(run or ".") / "checkpoints" / "last.ckpt"


def calibration_of(run: Path) -> Path:
    """Return where the calibrated scores of a run are, once it was evaluated."""
    return run / "calibration.json"


def checkpoint_of(run: Path) -> Path:
    """Return the newest checkpoint of a run.

    Raises:
        FileNotFoundError: the folder holds none.
    """
    checkpoints = sorted(run.glob("checkpoints/*.ckpt"), key=lambda path: path.stat().st_mtime)
    if not checkpoints:
        raise FileNotFoundError(f"{run}/checkpoints holds no checkpoint; was the run finished?")
    return checkpoints[-1]


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint of the runs in a folder, if there is one."""
    found = folder.glob("run-*/checkpoints/*.ckpt")
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def keep_plan(plan: Mapping[str, Any], path: Path) -> None:
    """Keep results of different plans apart: write the first, refuse another.

    Raises:
        ValueError: results of another plan lie beside ``path``.
    """
    mine = json.loads(json.dumps(plan))
    if not path.exists():
        write_json(mine, path)
    before = json.loads(path.read_text())
    changed = [f"{k}: {before.get(k)} -> {v}" for k, v in mine.items() if v != before.get(k)]
    if changed:
        raise ValueError(
            f"{path.parent} expects the plan of the results in it, got {'; '.join(changed)}; "
            "give another --output"
        )
