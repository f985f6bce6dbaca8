"""The fallback backend on JAX arrays, on the CPU."""

from __future__ import annotations

from importlib import import_module

from tensormask_core.testing import conformance_suite, require
from tensormask_core.testing.checks import CHECKS, HALF

BACKEND = require("jax")
# JAX compiles each operation for each new shape: few shapes, compiled in haste.
import_module("jax").config.update("jax_disable_most_optimizations", True)

OF_HALF = ["dtype_and_device_are_kept", *(name for name in CHECKS if CHECKS[name].dtypes == HALF)]

TestJax = conformance_suite(BACKEND, asarray="jax", max_examples=3)
TestJaxHalf = conformance_suite(
    BACKEND, dtypes=("bfloat16",), asarray="jax", checks=OF_HALF, max_examples=3
)
