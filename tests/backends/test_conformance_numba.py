"""The numba backend on numpy arrays."""

from __future__ import annotations

from tensormask_core.testing import conformance_suite, require

BACKEND = require("numba")

TestNumba = conformance_suite(BACKEND, dtypes=("float32", "float64"))
TestNumbaHalf = conformance_suite(BACKEND, dtypes=("float16", "bfloat16"), max_examples=10)
