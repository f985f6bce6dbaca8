"""The transforms of CPU tensors by the numba backend's kernels, on views that share memory."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from tensormask_core.plan import Plan

_WIDE = (torch.float32, torch.float64)


def transform(x: Tensor, plan: Plan) -> Tensor:
    """Return the output (N, *plan.shape_out) of ``x`` (N, *plan.shape_in)."""
    return _tensor(_backend().transform(_view(x), plan), x.dtype)


def transform_adjoint(g: Tensor, plan: Plan) -> Tensor:
    """Return the adjoint (N, *plan.shape_in) at ``g`` (N, *plan.shape_out)."""
    return _tensor(_backend().transform_adjoint(_view(g), plan), g.dtype)


def windows(x: Tensor, plan: Plan, index: Tensor) -> Tensor:
    """Return the windows (K, *plan.window_out) of ``x`` (N, *plan.shape_in) at ``index`` (K, 3)."""
    return _tensor(_backend().windows(_view(x), plan, index.numpy()), x.dtype)


def windows_adjoint(g: Tensor, plan: Plan, index: Tensor, batch: int) -> Tensor:
    """Return the adjoint (batch, *plan.shape_in) at ``g`` (K, *plan.window_out)."""
    return _tensor(_backend().windows_adjoint(_view(g), plan, index.numpy(), batch), g.dtype)


def _view(x: Tensor) -> NDArray[Any]:
    """Return the array of a tensor, half types as float32: they are computed in it anyway."""
    wide = x if x.dtype in _WIDE else x.to(torch.promote_types(x.dtype, torch.float32))
    array: NDArray[Any] = wide.detach().resolve_neg().numpy()
    return array


def _tensor(array: NDArray[Any], dtype: torch.dtype) -> Tensor:
    return torch.from_numpy(array).to(dtype)


@lru_cache(maxsize=1)
def _backend() -> Any:
    """Return the numba backend, on as many threads as torch uses."""
    from tensormask_numba._backend import NumbaBackend  # noqa: PLC0415  (an optional dependency)

    return NumbaBackend(torch.get_num_threads)
