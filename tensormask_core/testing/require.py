"""Which backends a test run must not do without."""

from __future__ import annotations

import importlib
import os
from typing import Any

from tensormask_core.backend import Backend
from tensormask_core.registry import FALLBACK, available_backends, get_backend

VARIABLE = "TENSORMASK_REQUIRE_BACKENDS"


def require(name: str) -> Backend[Any]:
    """Return the backend of that name, or the one that serves the array library of that name.

    Where it cannot be loaded the calling test module is skipped with the reason, unless the
    environment variable TENSORMASK_REQUIRE_BACKENDS (names, separated by commas) lists it.

    Args:
        name: a backend such as ``"torch"``, or an array library such as ``"jax"``.

    Raises:
        ImportError: it is required and cannot be loaded.

    Example:
        >>> require("numpy").name
        'numpy'
    """
    try:
        if name in available_backends():
            return get_backend(name)
        importlib.import_module(name)
        return get_backend(FALLBACK)
    except ImportError as error:
        if name in os.environ.get(VARIABLE, "").split(","):
            raise
        import pytest  # noqa: PLC0415  (only where there is something to skip)

        pytest.skip(f"{name} is not here: {error}", allow_module_level=True)
