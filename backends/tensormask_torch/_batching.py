"""Rules for ``torch.vmap``: one more batch axis becomes part of the batch that is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tensormask_torch._ops import transform, transform_adjoint, windows, windows_adjoint

Dims = tuple[int | None, ...]


def _dense(op: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, int]]:
    def rule(info: Any, in_dims: Dims, x: Tensor, *settings: Any) -> tuple[Tensor, int]:
        size = info.batch_size
        out = op(_front(x, in_dims[0], size).flatten(0, 1), *settings)
        return torch.unflatten(out, 0, (size, -1)), 0

    return rule


def _windows(
    info: Any, in_dims: Dims, x: Tensor, index: Tensor, *settings: Any
) -> tuple[Tensor, int]:
    size = info.batch_size
    if in_dims[0] is None:  # every batch of indices looks at the same x
        flat_index = _front(index, in_dims[1], size).flatten(0, 1)
        return torch.unflatten(windows(x, flat_index, *settings), 0, (size, -1)), 0
    samples = _front(x, in_dims[0], size)  # (B, N, V, U, H, W)
    flat_index = _offset(_front(index, in_dims[1], size), samples.shape[1])
    out = windows(samples.flatten(0, 1), flat_index, *settings)
    return torch.unflatten(out, 0, (size, -1)), 0


def _windows_adjoint(
    info: Any, in_dims: Dims, g: Tensor, index: Tensor, shape_in: Sequence[int], *settings: Any
) -> tuple[Tensor, int]:
    size, batch = info.batch_size, shape_in[0]
    grads = _front(g, in_dims[0], size).flatten(0, 1)
    flat_index = _offset(_front(index, in_dims[1], size), batch)
    out = windows_adjoint(grads, flat_index, (size * batch, *shape_in[1:]), *settings)
    return torch.unflatten(out, 0, (size, batch)), 0


def _front(x: Tensor, dim: int | None, size: int) -> Tensor:
    return x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)


def _offset(index: Tensor, batch: int) -> Tensor:
    """Return ``index`` (B, K, 3) as (B * K, 3) into B batches, one after the other."""
    sample = index[..., 0].long()
    start = batch * torch.arange(index.shape[0], device=index.device)[:, None]
    # An index that is out of range must stay so instead of reaching the neighbouring batch.
    legal = (sample >= 0) & (sample < batch)
    sample = torch.where(legal, sample + start, -1)
    return torch.cat((sample[..., None], index[..., 1:].long()), -1).flatten(0, 1)


def register() -> None:
    """Give the four operators their batching rules."""
    transform.register_vmap(_dense(transform))
    transform_adjoint.register_vmap(_dense(transform_adjoint))
    windows.register_vmap(_windows)
    windows_adjoint.register_vmap(_windows_adjoint)
