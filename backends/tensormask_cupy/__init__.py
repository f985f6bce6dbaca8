"""The CuPy backend: every transform as a CUDA C++ kernel, compiled when it is first needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensormask_cupy._backend import CupyBackend

__all__ = ["make_backend"]


def make_backend() -> CupyBackend:
    """Return the CuPy backend; a CUDA device is needed when it first transforms an array."""
    from tensormask_cupy._backend import CupyBackend  # noqa: PLC0415  (loaded when asked for)

    return CupyBackend()
