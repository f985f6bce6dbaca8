"""CUDA devices: kernels compiled by NVRTC, launched on the current stream."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cupy
import numpy as np

from tensormask_core.errors import BackendUnavailable
from tensormask_cupy._device import DTYPES, SOURCES, source

_LARGEST_GRID = (1 << 31) - 1  # kernels walk on where there are more blocks


class CudaDevice:
    """A CUDA device; the same number is the same device."""

    xp = cupy
    largest_block = 1024
    observable = False  # a look at a value would wait for everything before it

    def __init__(self, number: int) -> None:
        self.number = number
        self.shared_bytes = _shared_bytes(number)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CudaDevice) and other.number == self.number

    def __hash__(self) -> int:
        return hash(self.number)

    def upload(self, tables: Sequence[Any]) -> tuple[Any, ...]:
        """Return tables as arrays of the device that kernels on any stream may read.

        This waits for the copy, once per plan: the next call may be on another stream.
        """
        arrays = tuple(cupy.asarray(table) for table in tables)
        cupy.cuda.get_current_stream().synchronize()
        return arrays

    def address(self, array: Any) -> int:
        """Return where an array begins in the device's memory."""
        return int(array.data.ptr)

    def launch(
        self, name: str, dtype: str, grid: tuple[int, int, int], arguments: Sequence[Any]
    ) -> None:
        """Run a kernel on the current stream of this device, which must be the current one."""
        blocks, threads, shared = grid
        kernel = _kernel(name, dtype, self.number)
        passed = tuple(_passed(argument) for argument in arguments)
        kernel((min(blocks, _LARGEST_GRID),), (threads,), passed, shared_mem=shared)


@lru_cache(maxsize=16)
def cuda_device(number: int) -> CudaDevice:
    """Return the device of that number.

    Raises:
        BackendUnavailable: there is no CUDA device or no driver for it.
    """
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise _unavailable(str(error)) from error
    if not count:
        raise _unavailable("no device was found")
    return CudaDevice(number)


def _unavailable(reason: str) -> BackendUnavailable:
    return BackendUnavailable(
        f"backend 'cupy' needs a CUDA device and its driver ({reason}); check that nvidia-smi "
        "lists one, or move the arrays to the CPU with cupy.asnumpy(x)"
    )


def _shared_bytes(number: int) -> int:
    attributes = cupy.cuda.Device(number).attributes
    return int(attributes["MaxSharedMemoryPerBlockOptin"])


@lru_cache(maxsize=len(SOURCES) * len(DTYPES) * 8)
def _kernel(name: str, dtype: str, number: int) -> Any:
    """Return the compiled kernel; its attributes belong to one device, so does it."""
    module = cupy.RawModule(code=source(name, dtype), options=("-std=c++17",))
    kernel = module.get_function(name)
    if name == "separable":
        kernel.max_dynamic_shared_size_bytes = _shared_bytes(number)
    return kernel


def _passed(argument: Any) -> Any:
    """Return an argument in the type that kernels declare."""
    if isinstance(argument, int):
        return np.int64(argument)
    return np.float64(argument) if isinstance(argument, float) else argument
