"""The torch backend: every transform as a ``torch.library`` operator, on CPU and CUDA tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensormask_torch._backend import TorchBackend

__all__ = ["make_backend"]


def make_backend() -> TorchBackend:
    """Return the torch backend; this also registers the operators ``torch.ops.tensormask``."""
    from tensormask_torch._backend import TorchBackend  # noqa: PLC0415  (loaded when asked for)

    return TorchBackend()
