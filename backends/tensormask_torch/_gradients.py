"""Gradients: of an operator its adjoint, of an adjoint the operator without padding."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tensormask_torch._ops import transform, transform_adjoint, windows, windows_adjoint


def _keep_dense(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.shape, ctx.settings = inputs[0].shape[1:], inputs[2:5]


def _dense_backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    return transform_adjoint(g, ctx.shape, *ctx.settings), *(None,) * 5


def _dense_adjoint_backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    return transform(g, ctx.shape, *ctx.settings, 0.0), *(None,) * 4


def _keep_sparse(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, index = inputs[:2]
    ctx.save_for_backward(index)
    ctx.shape, ctx.settings = x.shape, inputs[3:6]


def _sparse_backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    (index,) = ctx.saved_tensors
    return windows_adjoint(g, index, ctx.shape, *ctx.settings), *(None,) * 6


def _sparse_adjoint_backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    (index,) = ctx.saved_tensors
    return windows(g, index, ctx.shape[1:], *ctx.settings, 0.0), *(None,) * 5


def register() -> None:
    """Give the four operators their gradients."""
    transform.register_autograd(_dense_backward, setup_context=_keep_dense)
    transform_adjoint.register_autograd(_dense_adjoint_backward, setup_context=_keep_dense)
    windows.register_autograd(_sparse_backward, setup_context=_keep_sparse)
    windows_adjoint.register_autograd(_sparse_adjoint_backward, setup_context=_keep_sparse)
