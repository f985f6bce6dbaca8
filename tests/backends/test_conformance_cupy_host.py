"""The CUDA C++ of the CuPy backend, compiled as C++ and run on numpy arrays."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tensormask_core.plan import Plan
from tensormask_core.testing import conformance_suite
from tensormask_cupy import _dense, _device, _sparse

if not shutil.which("g++"):
    pytest.skip("g++ is not here", allow_module_level=True)


@cache
def library(name: str, dtype: str) -> Any:
    """Compile a kernel for arrays of ``dtype``."""
    folder = Path(tempfile.mkdtemp())
    launch = f'extern "C" void run(void** a, unsigned b, unsigned t) {{ launch({name}, a, b, t); }}'
    (folder / "kernel.cpp").write_text(f"{_device.source(name, dtype)}\n{launch}\n")
    header = Path(__file__).with_name("cuda_on_host.h")
    command = f"g++ -std=c++17 -O1 -w -shared -fPIC -include {header} kernel.cpp -o kernel.so"
    subprocess.run(command.split(), cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "kernel.so"))


class HostDevice:
    """Runs kernels on numpy arrays."""

    xp = np
    observable = True

    def __init__(self, shared_bytes: int = 1 << 16, largest_block: int = 7) -> None:
        self.shared_bytes, self.largest_block = shared_bytes, largest_block

    @staticmethod
    def address(array: Any) -> int:
        return int(array.__array_interface__["data"][0])

    def launch(
        self, name: str, dtype: str, grid: tuple[int, int, int], arguments: Sequence[Any]
    ) -> None:
        boxes = [self._box(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * len(boxes))(*(ctypes.addressof(box) for box in boxes))
        library(name, dtype).run(pointers, min(grid[0], 3), grid[1])

    @staticmethod
    def _box(argument: Any) -> Any:
        if isinstance(argument, np.ndarray):
            return ctypes.c_void_p(HostDevice.address(argument))
        return (ctypes.c_longlong if isinstance(argument, int) else ctypes.c_double)(argument)


class HostBackend:
    """The CuPy backend on numpy arrays."""

    name = "numpy"

    def __init__(self, **settings: int) -> None:
        self.device = HostDevice(**settings)

    def transform(self, x: Any, plan: Plan) -> Any:
        return _dense.transform(self.device, x, plan)

    def transform_adjoint(self, g: Any, plan: Plan) -> Any:
        return _dense.transform_adjoint(self.device, g, plan)

    def windows(self, x: Any, plan: Plan, index: Any) -> Any:
        return _sparse.windows(self.device, x, plan, index)

    def windows_adjoint(self, g: Any, plan: Plan, index: Any, batch: int) -> Any:
        return _sparse.windows_adjoint(self.device, g, plan, index, batch)


TestHost = conformance_suite(HostBackend(), dtypes=("float32", "float64"))
TestHostHalf = conformance_suite(HostBackend(), dtypes=("float16", "bfloat16"), max_examples=10)
# So little shared memory that nearly every case is cut into tiles.
TestHostTiles = conformance_suite(
    HostBackend(shared_bytes=1024, largest_block=1),
    max_examples=20,
    checks=["transform_matches_oracle", "adjoint_matches_oracle", "infinite_padding_stays_outside"],
)
