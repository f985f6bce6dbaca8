"""numba's CUDA kernels without a device: the suite in numba's simulator, in its own process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensormask_core.testing import require

require("numba")


def test_suite_passes_in_the_simulator(simulated: Callable[..., Any]) -> None:
    run = simulated("numba_cuda.py", NUMBA_ENABLE_CUDASIM="1")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "skipped" not in run.stdout.splitlines()[-1], run.stdout
