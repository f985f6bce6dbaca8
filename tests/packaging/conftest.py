"""The built wheel, and an environment that has nothing else of this project."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder)]
    if find_spec("hatchling") is not None:
        command.append("--no-build-isolation")
    _run([*command, str(REPOSITORY)])
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs Python where the wheel is installed with numpy, pycocotools, pytest and hypothesis."""
    folder = tmp_path_factory.mktemp("clean")
    _run([sys.executable, "-m", "venv", str(folder / "venv")])
    python = str(folder / "venv" / "bin" / "python")
    # numpy has no bfloat16 of its own; the suite takes it from ml_dtypes.
    needs = [f"{wheel}[masks]", "pytest", "hypothesis", "ml_dtypes"]
    _run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *needs])
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-P", *arguments],
            cwd=folder,
            env=kept | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
