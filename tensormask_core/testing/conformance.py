"""The conformance suite: every property of a backend, as a class of tests that pytest collects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

from tensormask_core.backend import Backend
from tensormask_core.testing import agreement, contract, laws  # they fill CHECKS
from tensormask_core.testing.arrays import ARRAYS, AsArray, AsNumpy, numpy_array, to_numpy
from tensormask_core.testing.case import Case
from tensormask_core.testing.checks import CHECKS, Check
from tensormask_core.testing.subject import Subject

__all__ = ["agreement", "conformance_suite", "contract", "failing_checks", "laws"]


def conformance_suite(
    backend: Backend[Any],
    *,
    dtypes: Sequence[str] = ("float32",),
    asarray: str | AsArray | None = None,
    asnumpy: AsNumpy = to_numpy,
    known_gaps: Mapping[str, str] | None = None,
    checks: Sequence[str] | None = None,
    max_examples: int | None = None,
) -> type:
    """Return a class of pytest tests, one per property and dtype, named ``test_PROPERTY_DTYPE``.

    Args:
        backend: the backend under test.
        dtypes: float16, bfloat16, float32, float64.
        asarray: makes an array from (numpy array, dtype name), or the name of a known library
            (numpy, torch, jax, array_api_strict, cupy); by default the backend's own name.
        asnumpy: turns an array of the backend into a new float64 numpy array.
        known_gaps: reasons why a property, or ``PROPERTY_DTYPE``, does not hold; these tests are
            expected to fail, and fail when they pass.
        checks: the only properties to test; by default all of them.
        max_examples: cases per property, then the same in each run; by default as hypothesis'
            profile says. For libraries that compile each new shape.

    Raises:
        ValueError: ``known_gaps`` names no property.
        KeyError: ``checks`` names no property.

    Example:
        >>> from tensormask_core import get_backend
        >>> TestNumpy = conformance_suite(get_backend("numpy"), dtypes=("float32", "float64"))
        >>> hasattr(TestNumpy, "test_transform_matches_oracle_float64")
        True
    """
    subjects = [Subject(backend, dtype, _maker(backend, asarray), asnumpy) for dtype in dtypes]
    chosen = settings(deadline=None)
    if max_examples is not None:
        chosen = settings(chosen, max_examples=max_examples, derandomize=True, database=None)
    pairs = list(_pairs(subjects, checks))
    tests = {name: _test(check, subject, chosen) for name, check, subject in pairs}
    gaps = dict(known_gaps or {})
    for name, check, _ in pairs:
        for key in {name, check.name} & gaps.keys():
            tests[name] = _expect_failure(tests[name], gaps[key])
    _refuse_unknown(gaps, {*tests, *CHECKS})
    members = {f"test_{name}": staticmethod(test) for name, test in tests.items()}
    return type(f"Test{backend.name.title()}", (), members)


def failing_checks(
    backend: Backend[Any],
    *,
    dtype: str = "float32",
    asarray: str | AsArray | None = None,
    asnumpy: AsNumpy = to_numpy,
    checks: Sequence[str] | None = None,
    max_examples: int = 40,
) -> dict[str, Exception]:
    """Return the properties that a backend lacks, with what went wrong, outside of pytest.

    Example:
        >>> from tensormask_core import get_backend
        >>> failing_checks(get_backend("numpy"), checks=["windows_equal_dense"], max_examples=5)
        {}
    """
    subject = Subject(backend, dtype, _maker(backend, asarray), asnumpy)
    chosen = settings(
        max_examples=max_examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate,),
        suppress_health_check=tuple(HealthCheck),
    )
    failures: dict[str, Exception] = {}
    for _, check, _ in _pairs([subject], checks):
        try:
            _test(check, subject, chosen)()
        except Exception as error:  # a broken backend may raise anything
            failures[check.name] = error
    return failures


def _test(check: Check, subject: Subject, chosen: settings) -> Callable[[], None]:
    """Return a fresh test function; hypothesis keeps its state on the function."""

    def test(case: Case) -> None:
        check.holds(subject, case)

    test.__doc__ = check.holds.__doc__
    return chosen(given(case=check.cases)(test))


def _pairs(
    subjects: Sequence[Subject], names: Sequence[str] | None
) -> Iterator[tuple[str, Check, Subject]]:
    for subject in subjects:
        for check in (CHECKS[name] for name in names or CHECKS):
            if not check.dtypes or subject.dtype in check.dtypes:
                yield f"{check.name}_{subject.dtype}", check, subject


def _maker(backend: Backend[Any], asarray: str | AsArray | None) -> AsArray:
    if callable(asarray):
        return asarray
    if asarray is None:
        return ARRAYS.get(backend.name, numpy_array)
    return ARRAYS[asarray]


def _expect_failure(test: Callable[[], None], reason: str) -> Callable[[], None]:
    import pytest  # noqa: PLC0415  (needed for known gaps alone)

    expected: Callable[[], None] = pytest.mark.xfail(strict=True, reason=reason)(test)
    return expected


def _refuse_unknown(gaps: Mapping[str, str], names: set[str]) -> None:
    unknown = sorted(gaps.keys() - names)
    if unknown:
        raise ValueError(
            f"known_gaps expects names of properties, got {', '.join(unknown)}; "
            f"known are {', '.join(CHECKS)}, each also with _DTYPE"
        )
