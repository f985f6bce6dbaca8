"""The reference backend against the oracle, the pictures and the algebra."""

from __future__ import annotations

from tensormask_core.testing import conformance_suite, require

DTYPES = ("float16", "bfloat16", "float32", "float64")

TestNumpy = conformance_suite(require("numpy"), dtypes=DTYPES)
