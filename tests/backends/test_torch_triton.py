"""The Triton kernels without a device: interpreted, and compiled for three generations of GPUs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensormask_core.testing import require

require("torch")
require("triton")


def test_suite_passes_in_the_interpreter(simulated: Callable[..., Any]) -> None:
    run = simulated("torch_triton.py", TRITON_INTERPRET="1")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "skipped" not in run.stdout.splitlines()[-1], run.stdout
