"""numba's CUDA kernels in its simulator, run by test_numba_cuda_simulator in its own process.

The simulator is chosen by NUMBA_ENABLE_CUDASIM=1 before numba is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numba import cuda
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray
from numba.cuda.simulator.kernelapi import FakeCUDAShared
from numba.np.numpy_support import as_dtype
from numpy.typing import NDArray

from tensormask_core import get_backend
from tensormask_core.plan import make_plan
from tensormask_core.testing import Case, conformance_suite
from tensormask_core.testing.arrays import numpy_array
from tensormask_core.testing.checks import CHECKS, HALF
from tensormask_core.units import Units
from tensormask_numba._cuda import CudaKernels, _backend
from tensormask_numba._cuda._matrix import matrix_of
from tensormask_numba._cuda._tables import make_columns

# The simulator polls its threads: what waits is the next to run, not in 5 ms but at once.
sys.setswitchinterval(1e-6)


def _array_of_the_block(self: Any, shape: Any, dtype: Any) -> Any:
    """Return the shared array of the calling line, the same for every thread of a block.

    The simulator's own looks an array up and then stores it, in two steps: a thread that comes
    between them gets an array that no other thread sees. One ``setdefault`` is atomic.
    """
    frame = sys._getframe(1)
    line = frame.f_code.co_filename, frame.f_lineno
    return self._allocations.setdefault(line, np.empty(shape, as_dtype(dtype)))


FakeCUDAShared.array = _array_of_the_block

AGREEMENT = [
    "transform_matches_oracle",
    "adjoint_matches_oracle",
    "windows_match_oracle",
    "windows_adjoint_matches_oracle",
    "infinite_padding_stays_outside",
    "strided_input_is_read_right",
]
OF_HALF = [*AGREEMENT, *(name for name in CHECKS if CHECKS[name].dtypes == HALF)]
BACKEND = CudaKernels()


def to_device(values: NDArray[Any], dtype: str) -> Any:
    return cuda.to_device(np.ascontiguousarray(numpy_array(values, dtype)))


def to_host(array: Any) -> NDArray[np.float64]:
    return np.asarray(array.copy_to_host()).astype(np.float64)


def suite(dtype: str, **options: Any) -> type:
    options = {"asarray": to_device, "asnumpy": to_host, "max_examples": 4, **options}
    return conformance_suite(BACKEND, dtypes=(dtype,), **options)


TestFloat32 = suite("float32", max_examples=6)
TestFloat64 = suite("float64", checks=AGREEMENT)
TestFloat16 = suite("float16", checks=OF_HALF)
TestBfloat16 = suite("bfloat16", checks=OF_HALF)


@pytest.fixture
def without_tiles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    _backend._matrices.cache_clear()
    monkeypatch.setattr(_backend, "make_columns", lambda *_: None)
    yield
    _backend._matrices.cache_clear()


@pytest.mark.parametrize("pad_value", [0.0, -6.0])
def test_columns_too_long_for_a_tile(without_tiles: None, pad_value: float) -> None:
    case = Case((2, 3), (4, 3), Units(2, 1), Units(1, 2), 1, pad_value=pad_value)
    x, g = (to_device(values, "float64") for values in (case.x(), case.g()))
    actual = [BACKEND.transform(x, case.plan), BACKEND.transform_adjoint(g, case.plan)]
    assert_like_numpy(case, *map(to_host, actual))


def test_columns_in_many_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    _backend._matrices.cache_clear()
    monkeypatch.setattr("tensormask_numba._cuda._tables.slots_of", lambda _: 12)
    case = Case((3, 4), (4, 6), Units(2, 1), Units(1, 2), 1, pad_value=3.0)
    x, g = (to_device(values, "float64") for values in (case.x(), case.g()))
    actual = [BACKEND.transform(x, case.plan), BACKEND.transform_adjoint(g, case.plan)]
    assert len(make_columns(matrix_of(case.plan, 1, adjoint=False), "float64").first) > 1
    assert_like_numpy(case, *map(to_host, actual))


def test_input_of_more_than_2_to_the_31_samples() -> None:
    memory = np.zeros((2, 1 << 31), np.float16)  # of which the system provides what is touched
    x = memory.reshape(1, 2, 2, 2, 1 << 29)[..., :: (1 << 29) - 1]
    x[...] = np.arange(1, 17).reshape(x.shape)
    plan = make_plan(x.shape[1:], Units(1, 1), Units(1, 1), 0)
    np.testing.assert_array_equal(to_host(BACKEND.transform(FakeCUDAArray(x), plan)), x)
    at = to_device(np.array([[0, 1, 1]]), "int64")
    windows = BACKEND.windows(FakeCUDAArray(x), plan, at)
    np.testing.assert_array_equal(to_host(windows)[0], x[0, :, :, 1, 1])


def test_negative_strides() -> None:
    case = Case((2, 3), (4, 3), Units(1, 1), Units(1, 1), 1)
    x = case.x()
    backwards = FakeCUDAArray(np.ascontiguousarray(x[:, ::-1, :, :, ::-1])[:, ::-1, :, :, ::-1])
    actual = BACKEND.transform(backwards, case.plan)
    np.testing.assert_array_equal(
        to_host(actual), to_host(BACKEND.transform(to_device(x, "float64"), case.plan))
    )


def test_infinite_sample_stays_with_its_readers() -> None:
    case = Case((3, 3), (8, 3), Units(1, 1), Units(1, 1), 1)
    x = case.x()
    x[0, 1, 1, 0, 0] = np.inf
    actual = to_host(BACKEND.transform(to_device(x, "float32"), case.plan))
    assert np.isinf(actual).sum() == 1
    assert not np.isnan(actual).any()


@pytest.mark.parametrize("dtype", ["int32", "float128"])
def test_other_dtypes_are_refused(dtype: str) -> None:
    case = Case((1, 1), (1, 1), Units(1, 1), Units(1, 1), 0)
    with pytest.raises(TypeError, match=f"float64, got {dtype}"):
        BACKEND.transform(cuda.to_device(np.zeros((1, 1, 1, 1, 1), dtype)), case.plan)


def assert_like_numpy(case: Case, out: Any, spread: Any) -> None:
    reference = get_backend("numpy")
    np.testing.assert_allclose(out, reference.transform(case.x(), case.plan), atol=1e-12)
    np.testing.assert_allclose(spread, reference.transform_adjoint(case.g(), case.plan), atol=1e-12)
