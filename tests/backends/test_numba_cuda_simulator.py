"""numba's CUDA kernels without a device: the suite in numba's simulator, in its own process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tensormask_core.testing import require

require("numba")

REPOSITORY = Path(__file__).resolve().parents[2]
SUITE = "tests/backends/simulated/numba_cuda.py"


def test_suite_passes_in_the_simulator() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", SUITE, "-q", "-p", "no:cacheprovider"],
        cwd=REPOSITORY,
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "skipped" not in run.stdout.splitlines()[-1], run.stdout
