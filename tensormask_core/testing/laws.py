"""Properties: the algebra of the transform, with no second implementation to compare with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tensormask_core.testing.case import Case, Values
from tensormask_core.testing.checks import check
from tensormask_core.testing.strategies import cases
from tensormask_core.testing.subject import Subject
from tensormask_core.testing.tolerances import TOLERANCES, assert_close, assert_identical
from tensormask_core.units import Units

SAME = ((1, 1),)  # of units: a ratio of one


@check(cases(lams=SAME, strides=SAME, scales=(1.0,), directions=(1,), windows=(1, 3, 5)))
def nat2align_undoes_align2nat(subject: Subject, case: Case) -> None:
    """Where alpha is whole, what neither pads nor leaves the grid comes back unchanged."""
    x = subject.rounded(case.x())
    there = subject.transform(x, case.plan)
    back = subject.transform(there, case.but(direction=-1).plan)
    _, v, u, y, w = np.indices(x.shape)
    nodes = [y - v + (x.shape[1] - 1) // 2, w - u + (x.shape[2] - 1) // 2]  # of the window
    kept = np.all([(n >= 0) & (n < h) for n, h in zip(nodes, case.grid, strict=True)], axis=0)
    assert_identical(back[kept], x[kept])


@check(cases())
def is_affine(subject: Subject, case: Case) -> None:
    """T(2a - b) = 2 T(a) - T(b) with whole numbers, also for the windows."""
    a, b = (np.round(3 * case.values(case.x().shape, stream)) for stream in (3, 4))
    for evaluate in _forms(subject, case):
        expected = 2 * evaluate(a) - evaluate(b)
        assert_close(evaluate(2 * a - b), expected, subject.dtype, scale=30.0)


@check(cases(pads=(0.0,), strides=SAME))
def is_translation_covariant(subject: Subject, case: Case) -> None:
    """One row and two columns of zeros before x move the output by as much."""
    x = subject.rounded(case.x())
    moved = np.pad(x, ((0, 0), (0, 0), (0, 0), (1, 0), (2, 0)))
    larger = case.but(grid=(case.grid[0] + 1, case.grid[1] + 2))
    actual = subject.transform(moved, larger.plan)[..., 1:, 2:]
    assert_close(actual, subject.transform(x, case.plan), subject.dtype)


@check(cases(lams=SAME, strides=SAME, windows=(1,)))
def one_cell_window_is_unchanged(subject: Subject, case: Case) -> None:
    """A 1 x 1 window has no offset to move by."""
    x = subject.rounded(case.x())
    assert_identical(subject.transform(x, case.plan), x)


@check(cases(lams=SAME, strides=SAME, directions=(0,)))
def same_units_change_nothing(subject: Subject, case: Case) -> None:
    """The transform to the same units and representation is the identity."""
    x = subject.rounded(case.x())
    assert_identical(subject.transform(x, case.plan), x)
    assert_identical(subject.transform_adjoint(x, case.plan), x)


@check(cases(lams=((1, 1), (2, 1), (3, 1)), strides=SAME, scales=(1.0,), directions=(1,)))
def swap_is_upscale_then_subsample(subject: Subject, case: Case) -> None:
    """Swapping by 2 is up_align2nat followed by keeping every second window."""
    x = subject.rounded(case.x())
    fine = subject.transform(x, case.plan)
    coarse = case.but(units_out=Units(case.units_out.sigma_vu, 2 * case.units_out.sigma_hw))
    assert_close(subject.transform(x, coarse.plan), fine[..., ::2, ::2], subject.dtype)


@check(cases())
def adjoint_transposes_transform(subject: Subject, case: Case) -> None:
    """<A x, y> = <x, A^T y>, for the dense transform."""
    case = case.but(pad_value=0.0)
    x, y = subject.rounded(case.x()), subject.rounded(case.g())
    image, source = subject.transform(x, case.plan), subject.transform_adjoint(y, case.plan)
    _assert_same_product((image, y), (x, source), subject.dtype)


@check(cases())
def windows_adjoint_transposes_windows(subject: Subject, case: Case) -> None:
    """<A x, y> = <x, A^T y>, for the sparse windows."""
    case, index = case.but(pad_value=0.0), case.index()
    x = subject.rounded(case.x())
    image = subject.windows(x, case.plan, index)
    y = subject.rounded(case.values(image.shape, 1))
    source = subject.windows_adjoint(y, case.plan, index, case.batch)
    _assert_same_product((image, y), (x, source), subject.dtype)


@check(cases())
def adjoint_ignores_padding(subject: Subject, case: Case) -> None:
    """The pad value is a constant: no gradient comes from it."""
    g = subject.rounded(case.g())
    unpadded = subject.transform_adjoint(g, case.but(pad_value=0.0).plan)
    assert_identical(subject.transform_adjoint(g, case.plan), unpadded)


@check(cases())
def windows_equal_dense(subject: Subject, case: Case) -> None:
    """Sparse windows are the dense ones at the same nodes."""
    x = subject.rounded(case.x())
    nodes = np.array(list(np.ndindex(case.batch, *case.plan.grid_out)))
    dense = np.moveaxis(subject.transform(x, case.plan), (3, 4), (1, 2))
    sparse = subject.windows(x, case.plan, nodes)
    assert_close(sparse, dense.reshape(sparse.shape), subject.dtype)


@check(cases())
def is_symmetric_in_rows_and_columns(subject: Subject, case: Case) -> None:
    """Exchanging (v, y) with (u, x) before or after is the same."""
    x = subject.rounded(case.x())
    exchanged = case.but(window=case.window[::-1], grid=case.grid[::-1])
    actual = subject.transform(_exchange(x), exchanged.plan)
    assert_close(actual, _exchange(subject.transform(x, case.plan)), subject.dtype)


@check(cases())
def constant_stays_constant_inside(subject: Subject, case: Case) -> None:
    """T(c) = c S + pad (1 - S), where S is what the weights of the samples sum up to."""
    inside = subject.transform(np.ones_like(case.x()), case.but(pad_value=0.0).plan)
    actual = subject.transform(np.full_like(case.x(), 3.0), case.plan)
    expected = 3.0 * inside + case.pad_value * (1.0 - inside)
    assert_close(actual, expected, subject.dtype, scale=10.0)


@check(cases(modes=("nearest",), directions=(0,), strides=SAME, borders=("edge",)))
def nearest_copies_cells(subject: Subject, case: Case) -> None:
    """Nearest upscaling invents no value."""
    x = subject.rounded(case.x())
    copied = np.isin(subject.transform(x, case.plan), x)
    np.testing.assert_array_equal(copied, np.ones_like(copied))


def _forms(subject: Subject, case: Case) -> tuple[Callable[[Values], Values], ...]:
    """Return the dense and the sparse transform as functions of x."""
    plan, index = case.plan, case.index()
    return lambda x: subject.transform(x, plan), lambda x: subject.windows(x, plan, index)


def _exchange(values: Values) -> Values:
    return values.transpose(0, 2, 1, 4, 3)


def _assert_same_product(
    first: tuple[Values, Values], second: tuple[Values, Values], dtype: str
) -> None:
    """Compare two sums of products, each relative to the size of what it sums up."""
    size = max(float(np.abs(a * b).sum()) for a, b in (first, second))
    left, right = (float((a * b).sum()) for a, b in (first, second))
    rtol, atol = TOLERANCES[dtype]
    np.testing.assert_allclose(left, right, rtol=0, atol=atol + rtol * size)
