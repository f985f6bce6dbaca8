"""The torch backend on CPU tensors."""

from __future__ import annotations

from tensormask_core.testing import conformance_suite, require

DTYPES = ("float16", "bfloat16", "float32", "float64")

TestTorch = conformance_suite(require("torch"), dtypes=DTYPES)
