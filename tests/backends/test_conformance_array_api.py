"""The fallback backend on numpy's own arrays."""

from __future__ import annotations

from tensormask_core.testing import conformance_suite, require

BACKEND = require("array_api")

TestArrayApi = conformance_suite(BACKEND, dtypes=("float32", "float64"))
TestArrayApiHalf = conformance_suite(BACKEND, dtypes=("float16",), max_examples=10)
