"""The reference backend against the oracle, the pictures and the algebra."""

from __future__ import annotations

from tensormask_core.testing import conformance_suite, require

BACKEND = require("numpy")

TestNumpy = conformance_suite(BACKEND, dtypes=("float32", "float64"))
TestNumpyHalf = conformance_suite(BACKEND, dtypes=("float16", "bfloat16"), max_examples=10)
