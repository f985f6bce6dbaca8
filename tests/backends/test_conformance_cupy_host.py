"""The CUDA C++ of the CuPy backend, compiled as C++ and run on numpy arrays."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tensormask_core import Units, get_backend
from tensormask_core.plan import Plan
from tensormask_core.testing import Case, assert_close, conformance_suite
from tensormask_core.testing.require import VARIABLE
from tensormask_cupy import _dense, _device, _sparse

if not shutil.which("g++"):
    if "g++" in os.environ.get(VARIABLE, "").split(","):
        raise ImportError("g++ is required and not here")
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

    def __init__(
        self, shared_bytes: int = 1 << 17, largest_block: int = 7, observable: bool = True
    ) -> None:
        self.shared_bytes, self.largest_block = shared_bytes, largest_block
        self.observable = observable

    def upload(self, tables: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(map(np.ascontiguousarray, tables))

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

    def __init__(self, **settings: Any) -> None:
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

NUMPY, HOST = get_backend("numpy"), HostBackend()
LAMS = (1, 2, 5, 8, 16, 32)


def seeded(*shape: int, dtype: str = "float32") -> Any:
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


def swap(lam: int, window: tuple[int, int] = (3, 4), grid: tuple[int, int] = (40, 72)) -> Plan:
    return Case(window, grid, Units(lam, 1), Units(1, lam), pad_value=-6.0).plan


@pytest.mark.parametrize("shared_bytes", [1 << 13, 1 << 17])
@pytest.mark.parametrize("lam", LAMS)
def test_swaps_of_any_factor_agree_with_numpy(lam: int, shared_bytes: int) -> None:
    plan, backend = swap(lam), HostBackend(shared_bytes=shared_bytes)
    x, g = seeded(2, *plan.shape_in), seeded(2, *plan.shape_out)
    assert_close(backend.transform(x, plan), NUMPY.transform(x, plan), "float32")
    expected = NUMPY.transform_adjoint(g, plan)
    assert_close(backend.transform_adjoint(g, plan), expected, "float32", scale=8.0)


@pytest.mark.parametrize("lam", LAMS)
def test_windows_of_any_factor_agree_with_numpy(lam: int) -> None:
    plan, index = swap(lam), np.array([[1, 0, 1], [0, 2, -1], [1, 0, 1], [0, 99, 99]])
    x, g = seeded(2, *plan.shape_in), seeded(4, *plan.window_out)
    assert_close(HOST.windows(x, plan, index), NUMPY.windows(x, plan, index), "float32")
    expected = NUMPY.windows_adjoint(g, plan, index, 2)
    assert_close(HOST.windows_adjoint(g, plan, index, 2), expected, "float32", scale=8.0)


def test_a_stride_beyond_the_layout_agrees_with_numpy() -> None:
    plan = Case((2, 3), (9, 310), Units(1, 1), Units(1, 100), direction=0).plan
    x = seeded(1, *plan.shape_in)
    assert_close(HOST.transform(x, plan), NUMPY.transform(x, plan), "float32")


def test_an_address_between_packs_is_read_right() -> None:
    plan = swap(2)
    x = seeded(2, *plan.shape_in)
    moved = np.empty(x.size + 1, np.float32)[1:].reshape(x.shape)
    moved[...] = x
    np.testing.assert_array_equal(HOST.transform(moved, plan), HOST.transform(x, plan))


def test_a_batch_that_cannot_be_seen_is_out_of_range_without_harm() -> None:
    plan, backend = swap(2), HostBackend(observable=False)
    x, index = seeded(2, *plan.shape_in), np.array([[2, 0, 0], [1, 0, 0], [-1, 0, 0]])
    out = backend.windows(x, plan, index)
    assert np.isnan(out[::2]).all()
    np.testing.assert_array_equal(out[1:2], HOST.windows(x, plan, index[1:2]))


def test_a_batch_that_cannot_be_seen_gets_no_gradient() -> None:
    plan, backend = swap(2), HostBackend(observable=False)
    g, index = seeded(3, *plan.window_out), np.array([[2, 0, 0], [1, 0, 0], [-1, 0, 0]])
    expected = HOST.windows_adjoint(g[1:2], plan, index[1:2], 2)
    np.testing.assert_array_equal(backend.windows_adjoint(g, plan, index, 2), expected)


def test_windows_are_found_beyond_32_bits(tmp_path: Path) -> None:
    plan = swap(1, window=(1, 1), grid=(1 << 15, 1 << 15))
    x = np.memmap(tmp_path / "sparse", np.float16, "w+", shape=(3, *plan.shape_in))
    x[2, 0, 0, -1, -1] = 7.0  # sample 3 * 2^30 - 1
    index = np.array([[2, (1 << 15) - 1, (1 << 15) - 1], [0, 0, 0]])
    assert HOST.windows(x, plan, index).ravel().tolist() == [7.0, 0.0]
