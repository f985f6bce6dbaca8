"""The reference backend: every transform in clear, vectorised numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensormask_numpy._backend import NumpyBackend

__all__ = ["make_backend"]


def make_backend() -> NumpyBackend:
    """Return the numpy backend."""
    from tensormask_numpy._backend import NumpyBackend  # noqa: PLC0415  (loaded when asked for)

    return NumpyBackend()
