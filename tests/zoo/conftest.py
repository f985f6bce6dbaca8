"""The zoo needs torch: without it these tests are skipped, or fail where torch is required."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

NEEDED = ("torch", "torchvision", "lightning", "jsonargparse", "matplotlib", "pycocotools")
MISSING = [name for name in NEEDED if find_spec(name) is None]
REQUIRED = "torch" in os.environ.get("TENSORMASK_REQUIRE_BACKENDS", "").split(",")


class UnavailableModule(pytest.Module):
    """A test file that is not imported."""

    def collect(self) -> Any:
        reason = f"the zoo needs {', '.join(MISSING)}: pip install 'tensormask-core[zoo]'"
        if REQUIRED:
            pytest.fail(f"{reason} (TENSORMASK_REQUIRE_BACKENDS lists torch)", pytrace=False)
        pytest.skip(reason)


def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> pytest.Module | None:
    if not MISSING:
        return None
    return UnavailableModule.from_parent(parent, path=module_path)
