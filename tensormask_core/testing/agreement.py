"""Properties: a backend agrees with the oracle and with what was computed by hand."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from tensormask_core.testing import oracle, pictures
from tensormask_core.testing.case import Case
from tensormask_core.testing.checks import check
from tensormask_core.testing.strategies import cases
from tensormask_core.testing.subject import Subject
from tensormask_core.testing.tolerances import assert_close

ANY = cases() | cases() | cases(smallest=0)  # most empty arrays teach nothing beyond their shape


@check(ANY)
def transform_matches_oracle(subject: Subject, case: Case) -> None:
    """The dense transform is its definition."""
    x = subject.rounded(case.x())
    for kind in _kinds(case):
        assert_close(subject.transform(x, kind.plan), oracle.transform(x, kind), subject.dtype)


@check(ANY)
def adjoint_matches_oracle(subject: Subject, case: Case) -> None:
    """The dense adjoint is the definition transposed."""
    g = subject.rounded(case.g())
    for kind in _kinds(case):
        expected = oracle.transform_adjoint(g, kind)
        assert_close(subject.transform_adjoint(g, kind.plan), expected, subject.dtype)


@check(ANY)
def windows_match_oracle(subject: Subject, case: Case) -> None:
    """Sparse windows are the definition, at nodes outside the grid too."""
    x, index = subject.rounded(case.x()), case.index()
    for kind in _kinds(case):
        expected = oracle.windows(x, kind, index)
        assert_close(subject.windows(x, kind.plan, index), expected, subject.dtype)


@check(ANY)
def windows_adjoint_matches_oracle(subject: Subject, case: Case) -> None:
    """The adjoint of sparse windows is the definition transposed; windows may come twice."""
    index = case.index()
    g = subject.rounded(case.values((len(index), *case.plan.window_out)))
    for kind in _kinds(case):
        expected = oracle.windows_adjoint(g, kind, index)
        actual = subject.windows_adjoint(g, kind.plan, index, case.batch)
        assert_close(actual, expected, subject.dtype)


@check(cases(pads=(math.inf, -math.inf)))
def infinite_padding_stays_outside(subject: Subject, case: Case) -> None:
    """Infinity reaches the outputs that read outside, as infinity, and no others."""
    x, index = subject.rounded(case.x()), case.index()
    dense, sparse = oracle.transform(x, case), oracle.windows(x, case, index)
    assert_close(subject.transform(x, case.plan), dense, subject.dtype)
    assert_close(subject.windows(x, case.plan, index), sparse, subject.dtype)


@check(st.sampled_from([picture.case for picture in pictures.PICTURES]))
def matches_hand_computed(subject: Subject, case: Case) -> None:
    """The 3 x 3 pictures, along rows and columns at once."""
    picture = next(picture for picture in pictures.PICTURES if picture.case == case)
    x, expected = picture.arrays()
    assert_close(subject.transform(x, case.plan), expected, subject.dtype)


@check(st.sampled_from([pictures.PADDED]))
def matches_hand_computed_padding(subject: Subject, case: Case) -> None:
    """The padded picture, along rows alone and along columns alone."""
    x, expected = pictures.padded_arrays()
    assert_close(subject.transform(x, case.plan), expected, subject.dtype)
    x, expected = (np.swapaxes(np.swapaxes(a, 1, 2), 3, 4) for a in (x, expected))
    columns = case.but(window=case.window[::-1], grid=case.grid[::-1])
    assert_close(subject.transform(x, columns.plan), expected, subject.dtype)


def _kinds(case: Case) -> tuple[Case, ...]:
    """Return the case padded, with repeated edges, and nearest (which has no border)."""
    bilinear = case.but(mode="bilinear")
    return (
        bilinear.but(vu_border="pad"),
        bilinear.but(vu_border="edge"),
        case.but(mode="nearest"),
    )
