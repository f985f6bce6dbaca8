"""Tests of the torch backend are skipped without torch, or fail where torch is required."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tensormask_core.testing import require

SIMULATED = Path(__file__).resolve().parent / "simulated"


class TorchModule(pytest.Module):
    """A test file that is imported only where there is torch."""

    def collect(self) -> Any:
        require("torch")
        return super().collect()


def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> pytest.Module | None:
    if not module_path.name.startswith("test_torch_"):
        return None
    return TorchModule.from_parent(parent, path=module_path)


@pytest.fixture
def simulated() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a suite of `simulated/`, whose libraries read the environment when they are imported."""

    def run(suite: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pytest", SIMULATED / suite, "-q", "-p", "no:cacheprovider"],
            cwd=SIMULATED.parents[2],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run
