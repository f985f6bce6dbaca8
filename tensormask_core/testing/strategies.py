"""Hypothesis strategies: cases of every kind, small enough for the oracle's loops."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from tensormask_core.plan import Border, Direction, Mode
from tensormask_core.testing.case import Case
from tensormask_core.units import Ratio, Units

LARGEST_EXTENT = 6
LAMS: tuple[Ratio, ...] = ((1, 1), (2, 1), (3, 2), (3, 1), (2, 3), (1, 2), (4, 1))
"""How much finer cells become, as (numerator, denominator)."""
STRIDES: tuple[Ratio, ...] = ((1, 1), (2, 1), (3, 1), (1, 2), (3, 2))
"""How much coarser the grid becomes."""
SCALES = (1.0, 2.0, 0.5, 3.0)
"""Lengths in pixels that the ratios are multiplied with; their quotients are alpha's factor."""

_LARGEST_PRODUCT = 30  # of V' and H', so that the oracle ends
_LARGEST_WINDOW = 8


@st.composite
def cases(  # noqa: PLR0913  (every field of a case may be narrowed)
    draw: st.DrawFn,
    *,
    lams: Sequence[Ratio] = LAMS,
    strides: Sequence[Ratio] = STRIDES,
    scales: Sequence[float] = SCALES,
    directions: Sequence[Direction] = (1, -1, 0),
    modes: Sequence[Mode] = ("bilinear", "nearest"),
    borders: Sequence[Border] = ("pad", "edge"),
    pads: Sequence[float] = (0.0, -6.0, 0.5),
    smallest: int = 1,
    windows: Sequence[int] | None = None,
) -> Case:
    """Draw a case: extents of ``smallest`` to 6, odd and even, V != U and H != W.

    Args:
        draw: given by hypothesis.
        lams: ratios of the cells' lengths to choose from.
        strides: ratios of the strides to choose from.
        scales: lengths in px to choose from.
        directions: 1 aligned to natural, -1 natural to aligned, 0 neither.
        modes: interpolations to choose from.
        borders: borders to choose from.
        pads: pad values to choose from.
        smallest: the smallest extent; 0 draws empty arrays as well.
        windows: legal V and U; by default any that stays whole.

    Example:
        >>> from hypothesis import find
        >>> find(cases(), lambda case: case.window == (2, 3)).grid
        (1, 1)
    """
    lam, stride = draw(st.sampled_from(lams)), draw(st.sampled_from(strides))
    cell, step = draw(st.sampled_from(scales)), draw(st.sampled_from(scales))
    extents = [draw(_extents(lam, stride, smallest, windows)) for _ in range(2)]
    return Case(
        window=(extents[0][0], extents[1][0]),
        grid=(extents[0][1], extents[1][1]),
        units_in=Units(cell * lam[0], step * stride[1]),
        units_out=Units(cell * lam[1], step * stride[0]),
        direction=draw(st.sampled_from(directions)),
        mode=draw(st.sampled_from(modes)),
        vu_border=draw(st.sampled_from(borders)),
        pad_value=draw(st.sampled_from(pads)),
        batch=draw(st.integers(smallest, 3)),
        seed=draw(st.integers(0, 2**16)),
    )


@st.composite
def _extents(
    draw: st.DrawFn, lam: Ratio, stride: Ratio, smallest: int, windows: Sequence[int] | None
) -> tuple[int, int]:
    """Draw V and H, or U and W: lam * V is whole, lam * V and the output of H are not too many."""
    finer, coarser = lam
    legal = windows or [
        cells
        for cells in range(smallest, LARGEST_EXTENT + 1)
        if cells * finer % coarser == 0 and cells * finer <= _LARGEST_WINDOW * coarser
    ]
    cells = draw(st.sampled_from(legal))
    out = max(1, cells * finer // coarser)
    largest = min(LARGEST_EXTENT, max(2, _LARGEST_PRODUCT // out * stride[0] // stride[1]))
    return cells, draw(st.integers(smallest, largest))
