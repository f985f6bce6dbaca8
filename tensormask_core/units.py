"""Units: how many image pixels one step along (V, U) and along (H, W) covers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from tensormask_core.errors import UnitError
from tensormask_core.tracing import constant_when_traced, settled

Ratio = tuple[int, int]
"""An exact ratio of two units, (numerator, denominator) in lowest terms."""

# Units such as 32 / 3 have no exact float. A ratio of units is taken to be the fraction of the
# smallest denominator within rounding error of the quotient, so that index arithmetic is exact.
_LARGEST_DENOMINATOR = 4096
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Units:
    """The units of a mask tensor (TensorMask, section 3.1).

    Attributes:
        sigma_vu: length of one mask cell, in image pixels per step along V and U. Positive.
        sigma_hw: stride of the feature map, in image pixels per step along H and W. Positive.

    Raises:
        UnitError: a unit is not a positive, finite number.

    Example:
        >>> Units(sigma_vu=32, sigma_hw=4).alpha
        8.0
    """

    sigma_vu: float
    sigma_hw: float

    def __post_init__(self) -> None:
        check_positive("sigma_vu", self.sigma_vu)
        check_positive("sigma_hw", self.sigma_hw)

    @property
    def alpha(self) -> float:
        """The ratio sigma_vu / sigma_hw: steps along H per step along V."""
        return self.sigma_vu / self.sigma_hw


def check_positive(name: str, value: float) -> None:
    """Raise UnitError unless ``value`` is a positive, finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction):
        raise UnitError(f"{name} must be a positive number, got {value!r}; pass an int or a float")
    if not 0 < value < math.inf:  # unlike isfinite, this can be traced
        raise UnitError(f"{name} must be positive and finite, got {value!r}")


def window_offsets(extent: int) -> tuple[float, ...]:
    """Return the centred coordinates ``v = i - (V - 1) / 2`` of a window axis.

    Odd windows have integer offsets, even windows half-integer ones. The paper writes
    ``v in [-V/2, V/2)`` with integer samples, which is the same for odd V and half a cell off
    centre for even V; the published operator uses the centred form, and so does this library.

    Example:
        >>> window_offsets(3), window_offsets(2)
        ((-1.0, 0.0, 1.0), (-0.5, 0.5))
    """
    return tuple(i - (extent - 1) / 2 for i in range(extent))


def unit_ratio(numerator: float, denominator: float) -> Ratio:
    """Return ``numerator / denominator`` as an exact ratio in lowest terms.

    Raises:
        UnitError: the quotient is no ratio of integers up to 4096 within rounding error.

    Example:
        >>> unit_ratio(1.5, 1), unit_ratio(32 / 3, 32)
        ((3, 2), (1, 3))
    """
    return _unit_ratio(settled(numerator), settled(denominator))


@constant_when_traced
def _unit_ratio(numerator: float, denominator: float) -> Ratio:
    return _cached_ratio(numerator, denominator)


@lru_cache(maxsize=4096)
def _cached_ratio(numerator: float, denominator: float) -> Ratio:
    exact = Fraction(numerator) / Fraction(denominator)
    # Limit the larger side: a ratio below 1 is the inverse of one above 1.
    small = exact.limit_denominator(_LARGEST_DENOMINATOR)
    if exact < 1:
        small = 1 / (1 / exact).limit_denominator(_LARGEST_DENOMINATOR)
    if abs(small - exact) > _ROUNDING * exact:
        raise UnitError(
            f"units must be in a ratio of small integers, got {numerator} / {denominator} = "
            f"{float(exact)!r}; the nearest legal ratio is {small}"
        )
    return small.numerator, small.denominator
