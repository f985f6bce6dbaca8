"""What every launch of a Triton kernel needs: the device, and tables that outlive graphs."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

# A captured graph holds addresses, not tensors: what it reads must never be given back.
_KEPT: list[Tensor] = []


def compute_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype to compute in: half types are accumulated in float32."""
    return torch.promote_types(x.dtype, torch.float32)


def on_device(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which kernels run on ``device``; Triton's interpreter has none."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def hold(tables: Iterable[Tensor], device: torch.device) -> None:
    """Keep the memory of ``tables`` until kernels on the current stream have read it."""
    if device.type != "cuda":
        return
    if torch.cuda.is_current_stream_capturing():
        _KEPT.extend(tables)
        return
    stream = torch.cuda.current_stream(device)
    for table in tables:
        table.record_stream(stream)


@lru_cache(maxsize=128)
def constant(value: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a number in memory: in a kernel's arguments it would be cut to 32 bits."""
    return torch.tensor([value], dtype=dtype, device=device)
