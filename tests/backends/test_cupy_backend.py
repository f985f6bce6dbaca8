"""What the CuPy backend refuses and how, where there is no device to transform anything."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from tensormask_core import BackendUnavailable, Units
from tensormask_core.testing import Case, require

require("cupy")

import cupy  # noqa: E402  (may not be here)

from tensormask_cupy import _cuda, make_backend  # noqa: E402  (needs CuPy)

BACKEND = make_backend()
PLAN = Case((3, 3), (4, 4), Units(2, 1), Units(1, 2)).plan


class Device(NamedTuple):
    id: int


class Array:
    """What is asked of a CuPy array, on a machine that cannot make one."""

    def __init__(self, dtype: str = "float32", device: int = 0) -> None:
        self.dtype, self.device = np.dtype(dtype), Device(device)


@pytest.fixture(autouse=True)
def arrays_need_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cupy, "ndarray", Array)


@pytest.fixture
def no_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", lambda: 0)
    _cuda.cuda_device.cache_clear()


def test_other_arrays_are_refused() -> None:
    with pytest.raises(TypeError, match=r"got numpy\.ndarray; convert it with cupy\.asarray"):
        BACKEND.transform(np.zeros((1, 3, 3, 4, 4), np.float32), PLAN)


def test_an_index_of_another_library_is_refused() -> None:
    with pytest.raises(TypeError, match=r"an index of CuPy, got numpy\.ndarray"):
        BACKEND.windows(Array(), PLAN, np.zeros((1, 3), np.int64))


@pytest.mark.parametrize("dtype", ["int32", "complex64"])
def test_unsupported_dtypes_are_refused(dtype: str) -> None:
    with pytest.raises(TypeError, match=f"float16, bfloat16, float32, float64 .* got {dtype}"):
        BACKEND.transform_adjoint(Array(dtype), PLAN)


def test_an_index_on_another_device_is_refused() -> None:
    with pytest.raises(ValueError, match="device 0, got device 1; copy it there"):
        BACKEND.windows_adjoint(Array(), PLAN, Array("int64", device=1), 1)


@pytest.mark.usefixtures("no_devices")
def test_no_device_is_said_with_what_to_do() -> None:
    with pytest.raises(BackendUnavailable, match=r"no device was found.*nvidia-smi"):
        BACKEND.transform(Array(), PLAN)


def test_a_missing_driver_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise cupy.cuda.runtime.CUDARuntimeError(35)  # the driver is older than the runtime

    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", fail)
    _cuda.cuda_device.cache_clear()
    with pytest.raises(BackendUnavailable, match=r"driver version is insufficient.*nvidia-smi"):
        BACKEND.transform(Array(), PLAN)


def test_the_backend_bears_its_name() -> None:
    assert BACKEND.name == "cupy"
