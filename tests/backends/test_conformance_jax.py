"""The fallback backend on JAX arrays, on the CPU."""

from __future__ import annotations

from importlib import import_module

from tensormask_core.testing import conformance_suite, require

# Few examples, compiled in haste: JAX compiles each operation for each new shape.
BACKEND = require("jax")
import_module("jax").config.update("jax_disable_most_optimizations", True)

TestJax = conformance_suite(BACKEND, dtypes=("float32", "bfloat16"), asarray="jax", max_examples=3)
