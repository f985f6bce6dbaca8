"""The fallback backend on JAX arrays, on the CPU and compiled, as JAX is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tensormask_core.backend import Backend
from tensormask_core.testing import conformance_suite, require

BACKEND = require("jax")
jax = import_module("jax")
jax.config.update("jax_disable_most_optimizations", True)  # compiled once for each new shape


class Compiled:
    """A backend whose functions are traced and compiled for each plan."""

    name = "jax"

    def __init__(self, backend: Backend[Any]) -> None:
        self.transform = jax.jit(backend.transform, static_argnums=1)
        self.transform_adjoint = jax.jit(backend.transform_adjoint, static_argnums=1)
        self.windows = jax.jit(backend.windows, static_argnums=1)
        self.windows_adjoint = jax.jit(backend.windows_adjoint, static_argnums=(1, 3))


TestJax = conformance_suite(
    Compiled(BACKEND),
    dtypes=("float32", "bfloat16"),
    known_gaps={"batch_out_of_range_is_an_error": "a trace does not know the values of an index"},
    max_examples=6,
)
