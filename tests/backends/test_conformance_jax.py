"""The fallback backend on JAX arrays, on the CPU."""

from __future__ import annotations

from tensormask_core.testing import conformance_suite, require

# Few examples: JAX compiles each operation for each new shape.
TestJax = conformance_suite(
    require("jax"), dtypes=("float32", "bfloat16"), asarray="jax", max_examples=3
)
