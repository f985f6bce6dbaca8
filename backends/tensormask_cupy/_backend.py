"""The four functions of a backend, on CuPy arrays."""

from __future__ import annotations

from typing import Any

import cupy

from tensormask_core.plan import Plan
from tensormask_cupy import _dense, _sparse
from tensormask_cupy._cuda import cuda_device
from tensormask_cupy._device import DTYPES, Device


class CupyBackend:
    """Transforms CuPy arrays, each on its own device and that device's current stream.

    Nothing waits for the device. So a batch index out of range cannot be an error: its window
    is NaN, and its gradient goes nowhere.
    """

    name = "cupy"

    def transform(self, x: Any, plan: Plan) -> Any:
        """Return the output (N, *plan.shape_out) of ``x`` (N, *plan.shape_in)."""
        device = _device_of(x)
        with x.device:
            return _dense.transform(device, x, plan)

    def transform_adjoint(self, g: Any, plan: Plan) -> Any:
        """Return the adjoint (N, *plan.shape_in) at ``g`` (N, *plan.shape_out)."""
        device = _device_of(g)
        with g.device:
            return _dense.transform_adjoint(device, g, plan)

    def windows(self, x: Any, plan: Plan, index: Any) -> Any:
        """Return the windows (K, *plan.window_out) at ``index`` (K, 3)."""
        device = _device_of(x, index)
        with x.device:
            return _sparse.windows(device, x, plan, index)

    def windows_adjoint(self, g: Any, plan: Plan, index: Any, batch: int) -> Any:
        """Return the adjoint (batch, *plan.shape_in) at ``g`` (K, *plan.window_out)."""
        device = _device_of(g, index)
        with g.device:
            return _sparse.windows_adjoint(device, g, plan, index, batch)


def _device_of(x: Any, index: Any = None) -> Device:
    """Return the device of an array that kernels exist for, and of an index beside it."""
    _check_cupy("an array", x)
    if str(x.dtype) not in DTYPES:
        raise TypeError(f"cupy arrays of {', '.join(DTYPES)} are supported, got {x.dtype}; cast it")
    if index is not None:
        _check_cupy("an index", index)
        if index.device != x.device:
            raise ValueError(
                f"index expects the array's device {x.device.id}, got device {index.device.id}; "
                "copy it there"
            )
    return cuda_device(x.device.id)


def _check_cupy(what: str, array: Any) -> None:
    if not isinstance(array, cupy.ndarray):
        raise TypeError(
            f"backend 'cupy' expects {what} of CuPy, got {type(array).__module__}."
            f"{type(array).__qualname__}; convert it with cupy.asarray"
        )
