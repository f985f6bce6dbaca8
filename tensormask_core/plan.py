"""Plan: everything a backend has to know about one transform, derived from units.

The output sample (v, y) of the one transform reads its input at::

    v_in = rho * v          rho = sigma_vu / tau_vu
    y_in = s * y + a * v    s = sigma_hw / tau_hw,  a = direction * sigma_vu / tau_hw

where tau are the units of the input, sigma those of the output and v is centred (see
:func:`tensormask_core.units.window_offsets`). (u, x) follow the same map. It is equation 5 of
TensorMask's appendix A.1. Ratios are exact, so no coordinate suffers from rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from tensormask_core.errors import LayoutError, UnitError
from tensormask_core.units import Ratio, Units, unit_ratio

Mode = Literal["bilinear", "nearest"]
Border = Literal["pad", "edge"]
Direction = Literal[-1, 0, 1]

ALIGNED_TO_NATURAL: Direction = 1
NATURAL_TO_ALIGNED: Direction = -1
SAME_REPRESENTATION: Direction = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """One transform of arrays ``(N, V, U, H, W)``, hashable and free of units.

    Attributes:
        window_in: (V, U) of the input.
        grid_in: (H, W) of the input.
        window_out: (V, U) of the output.
        grid_out: (H, W) of the output.
        rho: input cells per output cell along V and U, as (numerator, denominator).
        s: input nodes per output node along H and W, as (numerator, denominator).
        a: input nodes per output cell, signed, as (numerator, denominator).
        mode: interpolation between cells along V and U; along H and W it is always linear.
        vu_border: what lies beyond the outermost cells: ``pad_value`` or the cell itself.
        pad_value: the value read outside the input.
    """

    window_in: tuple[int, int]
    grid_in: tuple[int, int]
    window_out: tuple[int, int]
    grid_out: tuple[int, int]
    rho: Ratio
    s: Ratio
    a: Ratio
    mode: Mode = "bilinear"
    vu_border: Border = "pad"
    pad_value: float = 0.0

    @property
    def shape_in(self) -> tuple[int, int, int, int]:
        """(V, U, H, W) of the input."""
        return (*self.window_in, *self.grid_in)

    @property
    def shape_out(self) -> tuple[int, int, int, int]:
        """(V, U, H, W) of the output."""
        return (*self.window_out, *self.grid_out)

    @property
    def cell_map(self) -> tuple[int, int]:
        """Integers (p, q) with index ``v_in + (V_in-1)/2 = (p*j + q*(V_in-1)) / (2*q)``.

        Here ``j = 2*i - (V_out-1)`` is twice the centred coordinate of output cell ``i``.
        """
        return self.rho

    @property
    def node_map(self) -> tuple[int, int, int]:
        """Integers (p, q, d) with ``y_in = (p*y + q*j) / d``, ``j`` as in :attr:`cell_map`."""
        d = math.lcm(self.s[1], 2 * self.a[1])
        return self.s[0] * (d // self.s[1]), self.a[0] * (d // (2 * self.a[1])), d


def make_plan(
    shape: tuple[int, int, int, int],
    units_in: Units,
    units_out: Units,
    direction: Direction,
    *,
    mode: Mode = "bilinear",
    vu_border: Border = "pad",
    pad_value: float = 0.0,
) -> Plan:
    """Return the plan that takes ``(V, U, H, W)`` from ``units_in`` to ``units_out``.

    Raises:
        UnitError: the window would not be a whole number of cells.
        LayoutError: ``mode`` or ``vu_border`` is unknown.

    Example:
        >>> make_plan((15, 15, 200, 304), Units(32, 4), Units(4, 32), ALIGNED_TO_NATURAL).shape_out
        (120, 120, 25, 38)
    """
    _check_choice("mode", mode, ("bilinear", "nearest"))
    _check_choice("vu_border", vu_border, ("pad", "edge"))
    v, u, h, w = shape
    rho = unit_ratio(units_out.sigma_vu, units_in.sigma_vu)
    s = unit_ratio(units_out.sigma_hw, units_in.sigma_hw)
    a = unit_ratio(units_out.sigma_vu, units_in.sigma_hw) if direction else (0, 1)
    return Plan(
        window_in=(v, u),
        grid_in=(h, w),
        window_out=(window_extent_out(v, rho), window_extent_out(u, rho)),
        grid_out=(grid_extent_out(h, s), grid_extent_out(w, s)),
        rho=rho,
        s=s,
        a=(direction * a[0], a[1]),
        mode=mode,
        vu_border=vu_border,
        pad_value=float(pad_value),
    )


def window_extent_out(extent: int, rho: Ratio) -> int:
    """Return the cells that cover the window of ``extent`` cells after a change of unit."""
    numerator, denominator = rho
    if extent * denominator % numerator:
        cells = extent * denominator / numerator
        nearest = max(1, round(cells))
        raise UnitError(
            f"a window of {extent} cells must stay whole, got {cells:g} cells at "
            f"sigma_vu * {numerator / denominator:g} (lam = {denominator / numerator:g}); "
            f"the nearest legal lam is {nearest}/{extent} = {nearest / extent:g}"
        )
    return extent * denominator // numerator


def grid_extent_out(extent: int, s: Ratio) -> int:
    """Return the nodes at a coarser or finer stride: ``ceil(extent / s)``."""
    return -(-extent * s[1] // s[0])


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise LayoutError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
