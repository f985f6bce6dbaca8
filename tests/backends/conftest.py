"""Tests of the torch backend are skipped without torch, or fail where torch is required."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tensormask_core.testing import require


class TorchModule(pytest.Module):
    """A test file that is imported only where there is torch."""

    def collect(self) -> Any:
        require("torch")
        return super().collect()


def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> pytest.Module | None:
    if not module_path.name.startswith("test_torch_"):
        return None
    return TorchModule.from_parent(parent, path=module_path)
