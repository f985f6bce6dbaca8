"""The one table of tolerances, and the comparison that uses it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tensormask_core.testing.case import Values


class Tolerance(NamedTuple):
    """Relative and absolute error that a dtype is allowed, for values of about 1."""

    rtol: float
    atol: float


# Half precision is rounded once, at the end: its tolerance is two of its own rounding steps.
TOLERANCES = {
    "float64": Tolerance(1e-12, 1e-12),
    "float32": Tolerance(1e-5, 1e-5),
    "float16": Tolerance(2e-3, 1e-5),
    "bfloat16": Tolerance(1.6e-2, 1e-5),
}


def assert_close(actual: Values, expected: Values, dtype: str, *, scale: float = 0.0) -> None:
    """Raise AssertionError, by numpy.testing, unless the arrays agree as ``dtype`` allows.

    ``scale`` is the size of the values that were rounded, where they cancel in the result.

    Example:
        >>> assert_close(np.ones(3), np.ones(3) + 1e-7, "float32")
    """
    assert_same_shape(actual, expected)
    rtol, atol = TOLERANCES[dtype]
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol + rtol * scale)


def assert_identical(actual: Values, expected: Values) -> None:
    """Raise AssertionError unless the arrays agree in every bit that matters."""
    assert_same_shape(actual, expected)
    np.testing.assert_array_equal(actual, expected)


def assert_same_shape(actual: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    """Raise AssertionError unless the shapes agree; numpy.testing would broadcast scalars."""
    np.testing.assert_equal(tuple(actual.shape), tuple(expected.shape), "shape")
