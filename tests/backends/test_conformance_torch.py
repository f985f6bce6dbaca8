"""The torch backend on CPU tensors."""

from __future__ import annotations

from tensormask_core.testing import conformance_suite, require

BACKEND = require("torch")

TestTorch = conformance_suite(BACKEND, dtypes=("float32", "float64"))
TestTorchHalf = conformance_suite(BACKEND, dtypes=("float16", "bfloat16"), max_examples=10)
