"""numba's CUDA kernels on a device, with the arrays of the libraries that are there."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tensormask_core.plan import make_plan
from tensormask_core.testing import Case, conformance_suite, require, to_numpy
from tensormask_core.testing.arrays import cupy_array, torch_array
from tensormask_core.units import Units

require("numba")

from numba import cuda  # noqa: E402  (where there is one)

if not cuda.is_available():
    pytest.skip("numba finds no CUDA device", allow_module_level=True)

from tensormask_numba._cuda import CudaKernels  # noqa: E402  (needs the device)

pytestmark = pytest.mark.gpu

FLOATS = ("float16", "bfloat16", "float32", "float64")
UNSEEN = {"batch_out_of_range_is_an_error": "seen only by waiting for the device"}
BACKEND = CudaKernels()


def on_device(values: NDArray[Any], dtype: str) -> Any:
    return torch_array(values, dtype).cuda()


if find_spec("torch"):
    TestTorch = conformance_suite(BACKEND, dtypes=FLOATS, asarray=on_device, known_gaps=UNSEEN)
if find_spec("cupy"):
    TestCupy = conformance_suite(
        BACKEND, dtypes=("float16", "float32"), asarray=cupy_array, known_gaps=UNSEEN
    )


@pytest.mark.parametrize("adjoint", [False, True])
def test_large_swap_is_right_and_repeats(adjoint: bool) -> None:
    case = Case((15, 15), (50, 76), Units(32, 4), Units(4, 32), 1, pad_value=-6.0)
    given = on_device(case.g() if adjoint else case.x(), "float32")
    call = BACKEND.transform_adjoint if adjoint else BACKEND.transform
    first, second = call(given, case.plan), call(given, case.plan)
    np.testing.assert_array_equal(to_numpy(first), to_numpy(second))
    reference = require("numpy")
    expected = (reference.transform_adjoint if adjoint else reference.transform)(
        to_numpy(given), case.plan
    )
    np.testing.assert_allclose(to_numpy(first), expected, rtol=1e-5, atol=1e-5)


def test_stream_of_the_caller_is_used() -> None:
    torch = pytest.importorskip("torch")
    case = Case((3, 3), (32, 32), Units(1, 1), Units(1, 1), 1)
    expected = BACKEND.transform(on_device(case.x(), "float32"), case.plan)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(100_000_000)  # what runs elsewhere would read x before it is written
        actual = BACKEND.transform(on_device(case.x(), "float32") + 0, case.plan)
    stream.synchronize()
    np.testing.assert_array_equal(to_numpy(actual), to_numpy(expected))


def test_more_than_2_to_the_31_samples() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.mem_get_info()[0] < 3 * 2**32:
        pytest.skip("needs 12 GiB of device memory")
    x = torch.zeros((2, 1, 1, 1, 2**30 + 8), dtype=torch.float16, device="cuda")
    x[1, ..., -1] = 1
    plan = make_plan(tuple(x.shape[1:]), Units(1, 1), Units(1, 1), 0)
    at = torch.tensor([[1, 0, x.shape[-1] - 1]], device="cuda")
    assert BACKEND.windows(x, plan, at).item() == 1
