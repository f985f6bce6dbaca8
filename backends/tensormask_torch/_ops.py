"""The four operators ``torch.ops.tensormask``: dense, sparse and their adjoints.

Extents and ratios are integers, so shapes stay symbolic under tracing. Each operator's gradient is
its adjoint; an adjoint's gradient is the linear part of the operator, so every order of derivative
exists. Autocast leaves them alone: they compute in the dtype of their input, or in float32 where
that is a half type.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor

from tensormask_core.plan import Border, Mode, Plan
from tensormask_torch import _compiled, _dense, _sparse

Ints = Sequence[int]


def ratios(plan: Plan) -> list[int]:
    """Return ``rho``, ``s`` and ``a`` of a plan as six integers."""
    return [*plan.rho, *plan.s, *plan.a]


@torch.library.custom_op("tensormask::transform", mutates_args=())
def transform(
    x: Tensor, shape_out: Sequence[int], ratios: Sequence[int], mode: str, vu_border: str,
    pad_value: float,
) -> Tensor:  # fmt: skip
    """Return (N, *shape_out) from ``x`` (N, V, U, H, W)."""
    plan = _plan(x.shape[1:], shape_out, ratios, mode, vu_border, pad_value)
    out: Tensor = kernels(x)[0].transform(x, plan)
    return out


@torch.library.custom_op("tensormask::transform_adjoint", mutates_args=())
def transform_adjoint(
    g: Tensor, shape_in: Sequence[int], ratios: Sequence[int], mode: str, vu_border: str
) -> Tensor:
    """Return the adjoint (N, *shape_in) of the linear part at ``g`` (N, *shape_out)."""
    plan = _plan(shape_in, g.shape[1:], ratios, mode, vu_border)
    out: Tensor = kernels(g)[0].transform_adjoint(g, plan)
    return out


@torch.library.custom_op("tensormask::windows", mutates_args=())
def windows(
    x: Tensor, index: Tensor, window_out: Sequence[int], ratios: Sequence[int], mode: str,
    vu_border: str, pad_value: float,
) -> Tensor:  # fmt: skip
    """Return the windows (K, *window_out) of ``x`` (N, V, U, H, W) at ``index`` (K, 3)."""
    _check_batch(index, x.shape[0])
    plan = _plan(x.shape[1:], (*window_out, 0, 0), ratios, mode, vu_border, pad_value)
    out: Tensor = kernels(x)[1].windows(x, plan, index)
    return out


@torch.library.custom_op("tensormask::windows_adjoint", mutates_args=())
def windows_adjoint(
    g: Tensor, index: Tensor, shape_in: Sequence[int], ratios: Sequence[int], mode: str,
    vu_border: str,
) -> Tensor:  # fmt: skip
    """Return the adjoint ``shape_in`` = (N, V, U, H, W) at ``g`` (K, V_out, U_out)."""
    _check_batch(index, shape_in[0])
    plan = _plan(shape_in[1:], (*g.shape[1:], 0, 0), ratios, mode, vu_border)
    out: Tensor = kernels(g)[1].windows_adjoint(g, plan, index, shape_in[0])
    return out


def kernels(x: Tensor) -> tuple[Any, Any]:
    """Return the modules with the dense and the sparse functions for the device of ``x``."""
    if x.is_cuda and _installed("triton"):
        from tensormask_torch import _triton_dense, _triton_sparse  # noqa: PLC0415  (needs triton)

        return _triton_dense, _triton_sparse
    if x.device.type == "cpu" and _installed("numba"):
        return _compiled, _compiled
    return _dense, _sparse


@lru_cache(maxsize=4)
def _installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def _plan(
    shape_in: Ints, shape_out: Ints, ratios: Ints, mode: str, vu_border: str, pad: float = 0.0
) -> Plan:
    v, u, h, w = shape_in
    v_out, u_out, h_out, w_out = shape_out
    rho, s, a = ((ratios[i], ratios[i + 1]) for i in (0, 2, 4))
    return Plan(
        (v, u), (h, w), (v_out, u_out), (h_out, w_out), rho, s, a,
        cast(Mode, mode), cast(Border, vu_border), pad,
    )  # fmt: skip


def _check_batch(index: Tensor, batch: int) -> None:
    """Raise where it costs nothing to look; on a device such a window is NaN."""
    if index.device.type != "cpu" or not len(index):
        return
    low, high = (int(bound) for bound in torch.aminmax(index[:, 0]))
    if low < 0 or high >= batch:
        raise IndexError(
            f"index expects batch indices in [0, {batch}), got {low if low < 0 else high}; "
            "only y and x may lie outside"
        )


@transform.register_fake
def _(x: Tensor, shape_out: Ints, *_: Any) -> Tensor:
    return x.new_empty((x.shape[0], *shape_out))


@transform_adjoint.register_fake
def _(g: Tensor, shape_in: Ints, *_: Any) -> Tensor:
    return g.new_empty((g.shape[0], *shape_in))


@windows.register_fake
def _(x: Tensor, index: Tensor, window_out: Ints, *_: Any) -> Tensor:
    return x.new_empty((index.shape[0], *window_out))


@windows_adjoint.register_fake
def _(g: Tensor, index: Tensor, shape_in: Ints, *_: Any) -> Tensor:
    return g.new_empty(tuple(shape_in))
