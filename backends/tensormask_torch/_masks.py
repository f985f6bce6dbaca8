"""Paste window masks into images by a compiled kernel: what `tensormask_core.masks` looks for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Boxes = npt.NDArray[np.float64]


def paste(
    windows: Tensor, boxes: Boxes, image_size: tuple[int, int], threshold: float | None
) -> Any:
    """Return the masks (K, H, W) of checked windows, or `NotImplemented`.

    CUDA tensors take the Triton kernel, CPU tensors the numba kernel on views that copy nothing.
    Windows that want a gradient, that something traces or that no kernel here can read go back to
    the core, which composes torch's own operations.
    """
    if not _is_plain(windows) or (_wants_gradient(windows) and threshold is None):
        return NotImplemented
    kernel = _kernels().get(windows.device.type)
    return NotImplemented if kernel is None else kernel(windows, boxes, image_size, threshold)


def _is_plain(windows: Tensor) -> bool:
    """Return whether there is nothing but memory behind a tensor: no subclass, no trace."""
    traced = torch.compiler.is_compiling() or torch._C._functorch.is_functorch_wrapped_tensor(
        windows
    )  # torch.func has no public way to ask
    return type(windows) in (Tensor, torch.nn.Parameter) and not traced


def _wants_gradient(windows: Tensor) -> bool:
    """Return whether autograd would have to look through the kernel."""
    return windows.requires_grad and torch.is_grad_enabled()


@cache
def _kernels() -> dict[str, Callable[..., Tensor]]:
    """Return the kernels that can be loaded here, by kind of device."""
    kernels: dict[str, Callable[..., Tensor]] = {}
    try:
        from tensormask_numba import _masks  # noqa: PLC0415  (an optional dependency)

        kernels["cpu"] = _through_numpy(_masks)
    except ImportError:
        pass
    try:
        from tensormask_torch import _masks_triton  # noqa: PLC0415  (an optional dependency)

        kernels["cuda"] = _masks_triton.paste
    except ImportError:
        pass
    return kernels


def _through_numpy(compiled: ModuleType) -> Callable[..., Tensor]:
    """Return a function of CPU tensors that runs one of numpy arrays on the same memory."""

    def paste_on_cpu(
        windows: Tensor, boxes: Boxes, image_size: tuple[int, int], threshold: float | None
    ) -> Tensor:
        view = windows.detach().numpy()
        return torch.from_numpy(compiled.paste(view, boxes, image_size, threshold))

    return paste_on_cpu
