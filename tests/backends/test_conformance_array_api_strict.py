"""The fallback backend on arrays that have nothing but what the standard names."""

from __future__ import annotations

from tensormask_core.testing import conformance_suite, require

BACKEND = require("array_api_strict")

TestArrayApiStrict = conformance_suite(
    BACKEND, dtypes=("float32", "float64"), asarray="array_api_strict", max_examples=20
)
