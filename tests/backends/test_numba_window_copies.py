"""Windows that the numba backend copies are those that it would blend."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from typing import Any, cast
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tensormask_core import Units
from tensormask_core.plan import ALIGNED_TO_NATURAL, Border, Plan, make_plan
from tensormask_core.testing import require

BACKEND = require("numba")
REFERENCE = require("numpy")

from tensormask_numba import _backend  # noqa: E402  (required above)
from tensormask_numba._window_plans import window_copies  # noqa: E402

Array = np.ndarray[Any, Any]


def assembly(nodes: int = 21) -> Plan:
    units = Units(Fraction(nodes, 5), 1), Units(1, 1)
    return make_plan((5, 5, 30, 33), *units, ALIGNED_TO_NATURAL, mode="nearest", vu_border="edge")


def align2nat(window: int, alpha: int = 1) -> Plan:
    units = Units(alpha, 1)
    return make_plan((window, window, 9, 8), units, units, ALIGNED_TO_NATURAL)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Draw a plan whose windows are copied."""
    lam = Fraction(draw(st.integers(1, 7)), draw(st.integers(1, 3)))
    v, u = (draw(st.integers(1, 2)) * lam.denominator for _ in range(2))
    h, w = (draw(st.integers(1, 9)) for _ in range(2))
    alpha, stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    units = Units(alpha * lam, 1), Units(alpha, stride)
    plan = make_plan(
        (v, u, h, w), *units, draw(st.sampled_from((-1, 0, 1))),
        mode=draw(st.sampled_from(("nearest", "bilinear"))),
        vu_border=draw(st.sampled_from(("pad", "edge"))),
        pad_value=draw(st.sampled_from((0.0, -6.0, -np.inf))),
    )  # fmt: skip
    assume(window_copies(plan))
    return plan


def some_windows(plan: Plan, batch: int, count: int = 20) -> Array:
    """Return windows in no order, some of them partly or all outside."""
    high = (batch, plan.grid_out[0] + 9, plan.grid_out[1] + 9)
    return np.random.default_rng(0).integers((0, -9, -9), high, size=(count, 3))


def whole(*shape: int) -> Array:
    """Return numbers whose sums are exact in any order."""
    return np.random.default_rng(1).integers(-99, 99, shape).astype(np.float32)


def windows_and_adjoint(plan: Plan, x: Array, index: Array) -> tuple[Array, Array]:
    g = whole(len(index), *plan.window_out)
    return BACKEND.windows(x, plan, index), BACKEND.windows_adjoint(g, plan, index, len(x))


@given(plan=plans(), batch=st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_copying_is_blending_with_one_weight_of_1(plan: Plan, batch: int) -> None:
    x, index = whole(batch, *plan.shape_in), some_windows(plan, batch)
    copied = windows_and_adjoint(plan, x, index)
    with mock.patch.object(_backend, "window_copies", return_value=None):
        blended = windows_and_adjoint(plan, x, index)
    for found, expected in zip(copied, blended, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("plan", [assembly(), align2nat(3), align2nat(4, alpha=2)])
def test_windows_of_single_samples_are_copied(plan: Plan) -> None:
    with mock.patch.object(_backend, "copy_windows") as copy:
        BACKEND.windows(whole(1, *plan.shape_in), plan, some_windows(plan, 1))
    assert copy.called


@pytest.mark.parametrize("plan", [assembly(20), align2nat(4)])
def test_cells_between_two_nodes_are_not_copied(plan: Plan) -> None:
    assert window_copies(plan) is None


def test_cells_between_two_cells_are_not_copied() -> None:
    assert window_copies(make_plan((3, 3, 9, 9), Units(2, 1), Units(1, 1), 0)) is None


def test_windows_between_two_nodes_are_not_copied() -> None:
    plan = make_plan((3, 3, 9, 9), Units(2, 2), Units(2, 1), 0, mode="nearest")
    assert window_copies(plan) is None


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_copies_are_bit_identical_on_any_number_of_threads(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, rng = assembly(), np.random.default_rng(2)
    x, index = rng.normal(size=(2, *plan.shape_in)), some_windows(plan, 2, count=200)
    monkeypatch.setattr(_backend, "_WORTH_THREADS", 0)
    monkeypatch.setattr(BACKEND, "_threads", lambda: 1)
    one = windows_and_adjoint(plan, x, index)
    monkeypatch.setattr(BACKEND, "_threads", lambda: threads)
    for found, expected in zip(windows_and_adjoint(plan, x, index), one, strict=True):
        np.testing.assert_array_equal(found, expected)


def odd_plans() -> Iterator[Plan]:
    """Yield plans whose windows are as large as the grid, larger, or of runs of many lengths."""
    for k, extents, border in product((1, 3, 5, 7), ((1, 1), (2, 30), (21, 20)), ("edge", "pad")):
        yield make_plan(
            (k, k, *extents), Units(Fraction(21, k), 1), Units(1, 1), ALIGNED_TO_NATURAL,
            mode="nearest", vu_border=cast(Border, border), pad_value=3.0,
        )  # fmt: skip


def between_poison(array: Array) -> tuple[Array, Array]:
    """Return a copy that lies amid NaN, and what it lies amid."""
    memory = np.full(array.size + 128, np.nan, array.dtype)
    inside = memory[64:-64].reshape(array.shape)
    inside[...] = array
    return inside, memory


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "plan", list(odd_plans()), ids=lambda plan: f"{plan.shape_in} {plan.vu_border}"
)
def test_nothing_is_read_or_written_beyond_the_arrays(plan: Plan, dtype: str) -> None:
    index = some_windows(plan, 2)
    x, around_x = between_poison(whole(2, *plan.shape_in).astype(dtype))
    g, _ = between_poison(whole(len(index), *plan.window_out).astype(dtype))
    out, around_out = between_poison(np.zeros_like(g))
    tables = window_copies(plan)
    _backend.copy_windows(x.ravel(), out.ravel(), index, tables, x.dtype.type(3), 0, len(index))
    _backend.add_copies(g.ravel(), x.ravel(), index, tables, 0, 2 * plan.window_in[0])
    assert not np.isnan(out).any()
    assert not np.isnan(x).any()
    for memory in (around_x, around_out):
        assert np.isnan(memory[:64]).all()
        assert np.isnan(memory[-64:]).all()


def test_threads_write_their_own_windows_only() -> None:
    plan = assembly()
    x, index = whole(1, *plan.shape_in), some_windows(plan, 1, count=3)
    out = np.full((3, *plan.window_out), np.nan, np.float32)
    _backend.copy_windows(x.ravel(), out.ravel(), index, window_copies(plan), np.float32(0), 1, 2)
    assert np.isnan(out[[0, 2]]).all()
    assert not np.isnan(out[1]).any()


@pytest.mark.parametrize("k", [1, 3, 5, 7])
def test_runs_of_any_length_are_copied(k: int) -> None:
    units = Units(Fraction(21, k), 1), Units(1, 1)
    plan = make_plan((k, k, 24, 26), *units, ALIGNED_TO_NATURAL, mode="nearest", vu_border="edge")
    x, index = whole(1, *plan.shape_in), np.array([[0, 12, 11], [0, 3, 20]])
    expected = REFERENCE.windows(x, plan, index)
    np.testing.assert_array_equal(BACKEND.windows(x, plan, index), expected)


def test_windows_of_images_in_any_order_are_added() -> None:
    plan, index = assembly(), some_windows(assembly(), 3)
    g = whole(len(index), *plan.window_out)
    expected = REFERENCE.windows_adjoint(g, plan, index, 3)
    np.testing.assert_array_equal(BACKEND.windows_adjoint(g, plan, index, 3), expected)


@pytest.mark.parametrize("image", [-1, 2, 2**40])
def test_an_image_that_does_not_exist_is_an_error(image: int) -> None:
    plan, index = assembly(), np.array([[0, 3, 3], [image, 3, 3]])
    with pytest.raises(IndexError, match=rf"\[0, 2\), got {image} in row 1"):
        BACKEND.windows(whole(2, *plan.shape_in), plan, index)
    with pytest.raises(IndexError, match=rf"\[0, 2\), got {image} in row 1"):
        BACKEND.windows_adjoint(whole(2, *plan.window_out), plan, index, 2)


def test_an_index_may_be_read_only_or_of_any_integers() -> None:
    plan, x = assembly(), whole(1, *assembly().shape_in)
    index = some_windows(plan, 1)
    expected = BACKEND.windows(x, plan, index)
    fixed = index.view()
    fixed.flags.writeable = False
    for other in (fixed, index.astype(np.int32), np.asfortranarray(index)):
        np.testing.assert_array_equal(BACKEND.windows(x, plan, other), expected)


def test_what_is_not_a_number_reaches_its_readers_only() -> None:
    plan, index = assembly(), np.array([[0, 15, 16]])
    x = np.full((1, *plan.shape_in), np.nan, np.float32)
    x[..., 5:26, 6:27] = 0
    assert not BACKEND.windows(x, plan, index).any()
