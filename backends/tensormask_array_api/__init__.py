"""The fallback backend: every array library that follows the array-API standard."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensormask_array_api._backend import ArrayApiBackend

__all__ = ["make_backend"]


def make_backend() -> ArrayApiBackend:
    """Return the array-API backend."""
    from tensormask_array_api._backend import ArrayApiBackend  # noqa: PLC0415  (loaded when asked)

    return ArrayApiBackend()
