"""The CuPy backend on a CUDA device."""

from __future__ import annotations

import pytest

from tensormask_core import BackendUnavailable
from tensormask_core.testing import conformance_suite, require

require("cupy")

from tensormask_cupy import make_backend  # noqa: E402  (needs CuPy)
from tensormask_cupy._cuda import cuda_device  # noqa: E402  (as above)

pytestmark = pytest.mark.gpu

try:
    cuda_device(0)
except BackendUnavailable as error:
    pytest.skip(str(error), allow_module_level=True)

GAPS = {"batch_out_of_range_is_an_error": "values of an index are not seen without waiting"}

TestCupy = conformance_suite(
    make_backend(), dtypes=("float32", "float64"), asarray="cupy", known_gaps=GAPS
)
TestCupyHalf = conformance_suite(
    make_backend(),
    dtypes=("float16", "bfloat16"),
    asarray="cupy",
    known_gaps=GAPS,
    max_examples=10,
)
