"""Properties: what the protocol promises besides numbers (dtype, purity, extents, precision)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tensormask_core.layout import dtype_name
from tensormask_core.testing.case import Case
from tensormask_core.testing.checks import HALF, check
from tensormask_core.testing.strategies import cases
from tensormask_core.testing.subject import Subject
from tensormask_core.testing.tolerances import assert_close, assert_identical
from tensormask_core.units import Units

_ONE_CELL = Case((1, 1), (1, 1), Units(1, 1), Units(1, 1), 0)
# Between four nodes, of which three cancel in float32 and do not in half precision.
_BETWEEN_NODES = Case((1, 1), (2, 2), Units(1, 2), Units(1, 1), 0)
_MANY_WINDOWS = 2560  # whole numbers up to here: no sum of ones in half precision reaches it
_EMPTY = st.tuples(cases(), st.integers(0, 4)).map(lambda drawn: _without(*drawn))


@check(cases())
def dtype_and_device_are_kept(subject: Subject, case: Case) -> None:
    """Results are of the dtype and on the device of the input."""
    for call, values in _calls(subject, case):
        given = subject.array(values)
        result = call(given)
        np.testing.assert_equal(dtype_name(result), dtype_name(given))
        np.testing.assert_equal(getattr(result, "device", None), getattr(given, "device", None))


@check(cases())
def input_is_unchanged(subject: Subject, case: Case) -> None:
    """No function writes into its arguments."""
    for call, values in _calls(subject, case):
        given = subject.array(values)
        before = subject.asnumpy(given)
        call(given)
        assert_identical(subject.asnumpy(given), before)


@check(cases())
def index_is_unchanged(subject: Subject, case: Case) -> None:
    """Sparse windows do not write into the index."""
    index = subject.index_array(case.index())
    before = subject.asnumpy(index)
    shape = (len(before), *case.plan.window_out)
    subject.backend.windows(subject.array(case.x()), case.plan, index)
    subject.backend.windows_adjoint(subject.array(case.values(shape)), case.plan, index, case.batch)
    assert_identical(subject.asnumpy(index), before)


@check(cases())
def runs_are_identical(subject: Subject, case: Case) -> None:
    """Two runs agree in every bit."""
    for call, values in _calls(subject, case):
        first, second = (subject.asnumpy(call(subject.array(values))) for _ in range(2))
        assert_identical(first, second)


@check(_EMPTY)
def empty_axes_have_empty_results(subject: Subject, case: Case) -> None:
    """An axis of extent 0 leads to the extents that the plan names, and to padding."""
    plan, index = case.plan, case.index()
    shapes = [
        (case.batch, *plan.shape_out),
        (case.batch, *plan.shape_in),
        (len(index), *plan.window_out),
        (case.batch, *plan.shape_in),
    ]
    for (call, values), shape in zip(_calls(subject, case), shapes, strict=True):
        np.testing.assert_equal(subject.asnumpy(call(subject.array(values))).shape, shape)


@check(cases())
def no_windows_are_an_empty_result(subject: Subject, case: Case) -> None:
    """An index of no windows is legal."""
    index = np.zeros((0, 3), np.int64)
    g = np.zeros((0, *case.plan.window_out))
    assert_identical(subject.windows(case.x(), case.plan, index), g)
    nothing = np.zeros_like(case.x())
    assert_identical(subject.windows_adjoint(g, case.plan, index, case.batch), nothing)


@check(cases())
def batch_is_transformed_one_by_one(subject: Subject, case: Case) -> None:
    """Images of a batch do not see each other."""
    x, g = subject.rounded(case.x()), subject.rounded(case.g())
    for call, values in ((subject.transform, x), (subject.transform_adjoint, g)):
        single = [call(values[n : n + 1], case.plan) for n in range(case.batch)]
        assert_close(call(values, case.plan), np.concatenate(single), subject.dtype)


@check(cases())
def strided_input_is_read_right(subject: Subject, case: Case) -> None:
    """Every second column of a wider array is as good as an array of its own."""
    x = subject.rounded(case.x())
    wide = subject.array(np.repeat(x, 2, axis=-1) * np.tile([1.0, -7.0], x.shape[-1]))
    strided = subject.backend.transform(wide[:, :, :, :, ::2], case.plan)
    assert_close(subject.asnumpy(strided), subject.transform(x, case.plan), subject.dtype)


@check(cases())
def index_of_32_bits_is_read_right(subject: Subject, case: Case) -> None:
    """Indices may be int32."""
    x, narrow = subject.array(case.x()), subject.index_array(case.index(), "int32")
    actual = subject.asnumpy(subject.backend.windows(x, case.plan, narrow))
    assert_identical(actual, subject.windows(case.x(), case.plan, case.index()))


@check(cases())
def batch_out_of_range_is_an_error(subject: Subject, case: Case) -> None:
    """A batch index below 0 or from N on is an IndexError."""
    g = np.zeros((1, *case.plan.window_out))
    for image in (-1, case.batch):
        index = np.array([[image, 0, 0]])
        with np.testing.assert_raises(IndexError):
            subject.windows(case.x(), case.plan, index)
        with np.testing.assert_raises(IndexError):
            subject.windows_adjoint(g, case.plan, index, case.batch)


@check(st.just(_BETWEEN_NODES), dtypes=HALF)
def half_blends_in_float32(subject: Subject, case: Case) -> None:
    """(2048 + 1 - 2048 + 0) / 4 is 1/4; in half precision 2048 + 1 is 2048."""
    table = np.array([[2048.0, -2048.0], [1.0, 0.0]])
    for nodes in (table, table.T):
        x = nodes[None, None, None]
        np.testing.assert_equal(subject.transform(x, case.plan)[0, 0, 0, 1, 1], 0.25)
        at = np.array([[0, 1, 1]])
        np.testing.assert_equal(subject.windows(x, case.plan, at)[0, 0, 0], 0.25)


@check(st.just(_ONE_CELL), dtypes=HALF)
def half_sums_windows_in_float32(subject: Subject, case: Case) -> None:
    """2560 windows of 1 on one sample give it 2560; half precision stops counting before."""
    index = np.zeros((_MANY_WINDOWS, 3), np.int64)
    actual = subject.windows_adjoint(np.ones((_MANY_WINDOWS, 1, 1)), case.plan, index, 1)
    np.testing.assert_equal(actual.item(), float(_MANY_WINDOWS))


@check(cases(lams=((16, 1),), windows=(1,), modes=("nearest",), borders=("edge",)), dtypes=HALF)
def half_sums_outputs_in_float32(subject: Subject, case: Case) -> None:
    """The dense adjoint sums 256 outputs per cell without rounding in between."""
    case = case.but(direction=0, units_in=Units(16, 1), units_out=Units(1, 1))
    g = subject.rounded(1000 * case.g())
    expected = g.sum(axis=(1, 2), keepdims=True)
    scale = float(np.abs(g).sum(axis=(1, 2)).max()) * 1e-4
    assert_close(subject.transform_adjoint(g, case.plan), expected, subject.dtype, scale=scale)


def _calls(subject: Subject, case: Case) -> list[tuple[Callable[[Any], Any], Any]]:
    """Return the backend's four functions, each of one array, and values to call it with."""
    backend, plan, index = subject.backend, case.plan, case.index()
    places = subject.index_array(index)
    return [
        (lambda x: backend.transform(x, plan), case.x()),
        (lambda g: backend.transform_adjoint(g, plan), case.g()),
        (lambda x: backend.windows(x, plan, places), case.x()),
        (
            lambda g: backend.windows_adjoint(g, plan, places, case.batch),
            case.values((len(index), *plan.window_out)),
        ),
    ]


def _without(case: Case, axis: int) -> Case:
    """Return the case with one axis of extent 0: N, V, U, H or W."""
    extents = [case.batch, *case.window, *case.grid]
    extents[axis] = 0
    batch, v, u, h, w = extents
    return case.but(batch=batch, window=(v, u), grid=(h, w))
