"""What only a library that traces can ask of the fallback backend: JAX on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tensormask_core import Aligned, backend_of, ops
from tensormask_core.plan import Plan, make_plan
from tensormask_core.units import Units

jax = pytest.importorskip("jax")
jnp = jax.numpy

INDEX = np.array([[0, 1, 1], [1, -2, 3], [1, 0, 0], [1, 0, 0]])


@pytest.fixture
def x() -> Any:
    values = np.random.default_rng(0).normal(size=(2, 3, 2, 6, 5))
    return jnp.asarray(values.astype(np.float32))


def _plan(x: Any) -> Plan:
    return make_plan(x.shape[1:], Units(2, 1), Units(1, 2), 1)


def test_jax_arrays_go_to_the_fallback(x: Any) -> None:
    assert backend_of(x).name == "array_api"


def test_gradient_of_the_dense_form_is_the_adjoint(x: Any) -> None:
    out, pull = jax.vjp(lambda x: ops.swap_align2nat(x, 2, pad_value=-6.0), x)
    (gradient,) = pull(out)
    expected = backend_of(x).transform_adjoint(out, _plan(x))
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


def test_gradient_of_windows_is_the_adjoint(x: Any) -> None:
    index = jnp.asarray(INDEX)
    out, pull = jax.vjp(lambda x: ops.swap_align2nat_at(x, index, 2), x)
    (gradient,) = pull(out)
    expected = backend_of(x).windows_adjoint(out, _plan(x), index, 2)
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


def test_second_gradient_flows(x: Any) -> None:
    def energy(x: Any) -> Any:
        return (ops.align2nat(x) ** 3).sum()

    gradient_norm = jax.grad(lambda x: (jax.grad(energy)(x) ** 2).sum())(x)
    assert float(jnp.abs(gradient_norm).max()) > 0


def test_jit_traces_values_and_index(x: Any) -> None:
    index = jnp.asarray(INDEX)
    traced = jax.jit(lambda x, index: ops.swap_align2nat_at(x, index, 2, pad_value=-6.0))
    eager = ops.swap_align2nat_at(x, index, 2, pad_value=-6.0)
    np.testing.assert_allclose(traced(x, index), eager, atol=1e-6)


def test_jit_takes_mask_tensors_as_arguments(x: Any) -> None:
    traced = jax.jit(lambda masks: masks.align2nat())
    assert traced(Aligned(x, sigma_vu=4, sigma_hw=4)).sigma_vu == 4


def test_vmap_is_a_batch_axis(x: Any) -> None:
    mapped = jax.vmap(lambda image: ops.swap_align2nat(image, 2))(x)
    np.testing.assert_allclose(mapped, ops.swap_align2nat(x, 2), atol=1e-6)


def test_batch_out_of_range_cannot_be_seen_in_a_trace(x: Any) -> None:
    traced = jax.jit(lambda x, index: ops.swap_align2nat_at(x, index, 2))
    assert traced(x, jnp.asarray([[7, 0, 0]])).shape == (1, 6, 4)


def test_batch_out_of_range_is_seen_outside_a_trace(x: Any) -> None:
    with pytest.raises(IndexError, match=r"batch indices in \[0, 2\)"):
        ops.swap_align2nat_at(x, jnp.asarray([[7, 0, 0]]), 2)
