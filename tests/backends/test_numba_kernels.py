"""What the numba backend promises beyond the conformance suite."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tensormask_core import Units
from tensormask_core.plan import Direction, Plan, make_plan
from tensormask_core.testing import TOLERANCES, require

BACKEND = require("numba")
REFERENCE = require("numpy")

import numba  # noqa: E402  (required above)

from tensormask_numba import _plans  # noqa: E402  (required above)

Array = np.ndarray[Any, Any]

# A kernel of its own for each: rows at stride 1, runs of each length, strides that are fractions.
PLANS = {
    "align2nat": (Units(4, 4), Units(4, 4), 1),
    "alpha 2": (Units(8, 4), Units(8, 4), 1),
    "up 3": (Units(12, 4), Units(4, 4), 1),
    "swap 2": (Units(8, 4), Units(4, 8), 1),
    "swap 3": (Units(12, 4), Units(4, 12), 1),
    "swap 5": (Units(20, 4), Units(4, 20), 1),
    "subsample 3": (Units(4, 4), Units(4, 12), 0),
    "swap back": (Units(4, 12), Units(12, 4), -1),
    "half steps": (Units(4, 4), Units(4, 6), 1),
}


def plan_of(name: str, shape: tuple[int, int, int, int], pad_value: float = -6.0) -> Plan:
    units_in, units_out, direction = PLANS[name]
    turn: Direction = 1 if direction > 0 else -1 if direction else 0
    return make_plan(shape, units_in, units_out, turn, pad_value=pad_value)


def values(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_the_adjoint_reaches_cells_whose_neighbours_are_not_read() -> None:
    plan = make_plan((9, 9, 8, 8), Units(1, 1), Units(3, 2), 0, mode="nearest")
    g = values(1, *plan.shape_out)
    found = BACKEND.transform_adjoint(g, plan)
    np.testing.assert_allclose(found, REFERENCE.transform_adjoint(g, plan), rtol=1e-6)
    assert found.any()


def some_windows(plan: Plan, batch: int, count: int = 40) -> Array:
    rng = np.random.default_rng(1)
    high = (batch, plan.grid_out[0] + 2, plan.grid_out[1] + 2)
    return rng.integers((0, -2, -2), high, size=(count, 3))


def results(plan: Plan, x: Array, backend: Any = BACKEND) -> dict[str, Array]:
    """Return what each of the four functions gives."""
    index = some_windows(plan, len(x))
    return {
        "transform": backend.transform(x, plan),
        "adjoint": backend.transform_adjoint(values(len(x), *plan.shape_out, seed=2), plan),
        "windows": backend.windows(x, plan, index),
        "windows_adjoint": backend.windows_adjoint(
            values(len(index), *plan.window_out, seed=3), plan, index, len(x)
        ),
    }


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("shape", [(15, 15, 64, 70), (9, 6, 41, 67), (3, 3, 130, 9)], ids=str)
def test_each_kernel_agrees_at_the_sizes_of_networks(
    name: str, shape: tuple[int, int, int, int]
) -> None:
    plan, x = plan_of(name, shape), values(2, *shape)
    rtol, atol = TOLERANCES["float32"]
    found, expected = results(plan, x), results(plan, x, REFERENCE)
    for function, array in found.items():
        scale = max(1.0, abs(expected[function]).max())
        np.testing.assert_allclose(array, expected[function], rtol, scale * atol, err_msg=function)


@pytest.mark.parametrize("lam", [2, 3, 4, 5, 8, 9, 16])
@pytest.mark.parametrize("nodes", [3, 5, 8, 19], ids="{} nodes".format)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cells_with_a_stride_agree_in_blocks_of_every_kind(
    lam: int, nodes: int, dtype: str
) -> None:
    shape = (2, 9, 2 * lam, lam * nodes - lam // 2)
    plan = make_plan(shape, Units(lam, 1), Units(1, lam), 1, pad_value=-6.0)
    x, g = (values(2, *some).astype(dtype) for some in (shape, plan.shape_out))
    rtol, atol = TOLERANCES[dtype]
    expected, spread = REFERENCE.transform(x, plan), REFERENCE.transform_adjoint(g, plan)
    np.testing.assert_allclose(BACKEND.transform(x, plan), expected, rtol=rtol, atol=atol)
    np.testing.assert_allclose(BACKEND.transform_adjoint(g, plan), spread, rtol=rtol, atol=atol)


@pytest.mark.parametrize("tile_bytes", [1, 1 << 10, 1 << 15])
@pytest.mark.parametrize("lam", [2, 3, 8, 16])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_samples_are_written_past_the_caches(
    dtype: str, lam: int, tile_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan((4, 5, 41, 67), Units(4 * lam, 4), Units(4, 4 * lam), 1, pad_value=-6.0)
    x = values(2, *plan.shape_in).astype(dtype)
    expected = BACKEND.transform(x, plan)
    monkeypatch.setattr(_plans, "_STREAMED_BYTES", 0)
    monkeypatch.setattr(_plans, "_TILE_BYTES", tile_bytes)
    _, tile = _plans.transform_work(plan, x.dtype, 1).buffers(expected.nbytes)
    assert len(tile) >= plan.grid_out[1]
    np.testing.assert_array_equal(BACKEND.transform(x, plan), expected)


@pytest.mark.parametrize("plane_bytes", [1, 1 << 10, 1 << 12])
@pytest.mark.parametrize("name", ["align2nat", "swap 2", "swap 5", "half steps"])
def test_the_size_of_planes_does_not_change_the_result(
    name: str, plane_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, x = plan_of(name, (4, 5, 41, 67)), values(2, 4, 5, 41, 67)
    expected, tasks = BACKEND.transform(x, plan), _plans.transform_work(plan, x.dtype, 1).tasks
    monkeypatch.setattr(_plans, "_PLANE_BYTES", plane_bytes)
    _plans.transform_work.cache_clear()
    np.testing.assert_array_equal(BACKEND.transform(x, plan), expected)
    assert _plans.transform_work(plan, x.dtype, 1).tasks > tasks
    _plans.transform_work.cache_clear()


@pytest.mark.parametrize("name", PLANS)
def test_results_are_bit_identical_on_any_number_of_threads(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = (15, 15, 64, 70)
    plan, x = plan_of(name, shape), values(2, *shape)
    monkeypatch.setattr(BACKEND, "_threads", lambda: 1)
    one = results(plan, x)
    for threads in (1, 2, 3, 7):
        monkeypatch.setattr(BACKEND, "_threads", lambda threads=threads: threads)
        for function, array in results(plan, x).items():
            np.testing.assert_array_equal(array, one[function], f"{function}, {threads} threads")


def test_it_asks_numba_for_the_number_of_threads() -> None:
    assert BACKEND._threads is numba.get_num_threads


@pytest.mark.parametrize("name", ["align2nat", "swap 2", "half steps"])
@pytest.mark.parametrize(
    "view", [lambda x: x[..., ::-1], lambda x: x[:, ::2, :, 1:], np.asfortranarray]
)
def test_arrays_of_any_strides_that_may_not_be_written(
    name: str, view: Callable[[Array], Array]
) -> None:
    x = view(values(2, 6, 3, 20, 22))
    x.setflags(write=False)
    plan = plan_of(name, x.shape[1:])
    np.testing.assert_array_equal(
        BACKEND.transform(x, plan), BACKEND.transform(np.ascontiguousarray(x), plan)
    )


@pytest.mark.parametrize("dtype", [np.longdouble])
def test_a_dtype_that_is_not_compiled_is_refused_by_name(dtype: Any) -> None:
    x = np.zeros((1, 3, 3, 4, 4), dtype)
    with pytest.raises(TypeError, match=r"float32 and float64, got (longdouble|float128)"):
        BACKEND.transform(x, plan_of("swap 2", (3, 3, 4, 4)))


@pytest.mark.parametrize("function", ["transform", "transform_adjoint"])
def test_an_array_of_another_library_on_the_cpu_is_refused_by_name(function: str) -> None:
    with pytest.raises(TypeError, match=r"numpy arrays, and arrays on a CUDA device, got builtins"):
        getattr(BACKEND, function)([[0.0]], plan_of("swap 2", (3, 3, 4, 4)))


def test_windows_beyond_2_to_the_31_samples() -> None:
    shape = (15, 15, 3200, 3200)  # 9.2 GB, of which the system provides what is touched
    x = np.zeros((1, *shape), np.float32)
    x[0, :, :, -8:, -8:] = values(15, 15, 8, 8)
    plan = plan_of("align2nat", shape)
    near = np.ascontiguousarray(x[..., -16:, -16:])
    found = BACKEND.windows(x, plan, np.array([[0, 3198, 3197]]))
    small = plan_of("align2nat", near.shape[1:])
    np.testing.assert_array_equal(found, BACKEND.windows(near, small, np.array([[0, 14, 13]])))
    back = BACKEND.windows_adjoint(found, plan, np.array([[0, 3198, 3197]]), 1)
    np.testing.assert_array_equal(
        back[..., -16:, -16:],
        BACKEND.windows_adjoint(found, small, np.array([[0, 14, 13]]), 1),
    )


def transform_and_sum(plan: Plan, x: Array) -> float:
    return float(BACKEND.transform(x, plan).sum())


def test_a_forked_process_transforms_too(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (15, 15, 64, 70)
    plan, x = plan_of("swap 2", shape), values(2, *shape)
    monkeypatch.setattr(BACKEND, "_threads", lambda: 2)
    here = transform_and_sum(plan, x)  # so that there are threads, which a fork does not copy
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(transform_and_sum, (plan, x)).get(timeout=60) == here


def test_the_input_is_not_modified() -> None:
    shape = (5, 5, 20, 20)
    x = values(1, *shape)
    before = x.copy()
    results(plan_of("swap 2", shape), x)
    np.testing.assert_array_equal(x, before)
