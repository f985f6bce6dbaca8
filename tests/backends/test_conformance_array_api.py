"""The fallback backend on numpy's own arrays."""

from __future__ import annotations

from tensormask_core.testing import conformance_suite, require

DTYPES = ("float16", "float32", "float64")

TestArrayApi = conformance_suite(require("array_api"), dtypes=DTYPES)
