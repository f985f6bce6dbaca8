"""The Triton kernels without a device: interpreted, and compiled for three generations of GPUs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tensormask_core.testing import require

require("torch")
require("triton")

REPOSITORY = Path(__file__).resolve().parents[2]
SUITE = "tests/backends/simulated/torch_triton.py"


def test_suite_passes_in_the_interpreter() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", SUITE, "-q", "-p", "no:cacheprovider"],
        cwd=REPOSITORY,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "skipped" not in run.stdout.splitlines()[-1], run.stdout
