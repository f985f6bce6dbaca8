"""Compiled kernels: parallel ones for numpy arrays on the CPU, and CUDA ones for device arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensormask_numba._backend import NumbaBackend

__all__ = ["make_backend"]


def make_backend() -> NumbaBackend:
    """Return the numba backend."""
    from tensormask_numba._backend import NumbaBackend  # noqa: PLC0415  (loaded when asked for)

    return NumbaBackend()
