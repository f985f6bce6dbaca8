"""Typed 4D mask tensors with units, on any array library."""

from __future__ import annotations

from tensormask_core import ops
from tensormask_core.bipyramid import Bipyramid, MaskPyramid
from tensormask_core.errors import BackendAmbiguous, BackendUnavailable, LayoutError, UnitError
from tensormask_core.grid import WindowGrid
from tensormask_core.registry import (
    available_backends,
    backend_of,
    get_backend,
    register_backend,
    use_backend,
)
from tensormask_core.tensor import Aligned, MaskTensor, Natural
from tensormask_core.units import Units

__version__ = "0.1.0"

__all__ = [
    "Aligned",
    "BackendAmbiguous",
    "BackendUnavailable",
    "Bipyramid",
    "LayoutError",
    "MaskPyramid",
    "MaskTensor",
    "Natural",
    "UnitError",
    "Units",
    "WindowGrid",
    "available_backends",
    "backend_of",
    "get_backend",
    "ops",
    "register_backend",
    "use_backend",
]
