"""Pyramids of mask tensors: the tensor bipyramid and its feature-pyramid sibling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypedDict, TypeVar

from tensormask_core.errors import LayoutError, UnitError
from tensormask_core.layout import check_same_library
from tensormask_core.tensor import Aligned, Natural
from tensormask_core.units import Units

ArrayT = TypeVar("ArrayT")


class _Pyramid(Generic[ArrayT]):
    """Natural mask tensors of rising stride, checked level by level."""

    _window_growth: int  # how V and U grow from one level to the next

    def __init__(self, levels: Sequence[Natural[ArrayT]]) -> None:
        if not levels:
            raise LayoutError(f"{type(self).__name__} expects at least one level, got none")
        for level in levels:
            _check_type(level, Natural, type(self).__name__)
        for k, level in enumerate(levels):
            self._check(k, level, levels[0])
        self._levels = tuple(levels)

    def __len__(self) -> int:
        return len(self._levels)

    def __iter__(self) -> Iterator[Natural[ArrayT]]:
        return (self.level(k) for k in range(len(self)))

    def level(self, k: int) -> Natural[ArrayT]:
        """Return level ``k`` as a dense natural tensor."""
        return self._levels[_place(k, len(self))]

    def windows(self, k: int, index: ArrayT) -> ArrayT:
        """Return the masks (K, V_k, U_k) at ``index`` (K, B + 2) of level ``k``."""
        return self._levels[_place(k, len(self))].windows(index)

    def _check(self, k: int, level: Natural[ArrayT], base: Natural[ArrayT]) -> None:
        check_same_library(base.data, level.data, f"level {k} of {type(self).__name__}")
        growth = self._window_growth**k
        *batch, v, u, h, w = base.shape
        shape = (*batch, growth * v, growth * u, -(-h // 2**k), -(-w // 2**k))
        if level.shape != shape:
            raise LayoutError(
                f"level {k} of a {type(self).__name__} expects shape {shape} above a first level "
                f"of {base.shape}, got {level.shape}"
            )
        units = Units(base.sigma_vu * 2**k / growth, base.sigma_hw * 2**k)
        if level.units != units:
            raise UnitError(f"level {k} expects {units}, got {level.units}")


class Bipyramid(_Pyramid[ArrayT]):
    """A tensor bipyramid (TensorMask, section 5): large masks on few windows, small ones on many.

    Level k has shape (*batch, 2^k V, 2^k U, ceil(H / 2^k), ceil(W / 2^k)), a constant sigma_vu
    and sigma_hw doubling from level to level, so every level holds about as many values.

    Args:
        levels: the natural tensors, finest grid first.

    Raises:
        LayoutError: a level is not natural, or has another shape than its place demands.
        UnitError: a level has other units than its place demands.
        TypeError: levels of different array libraries.

    Example:
        >>> import numpy as np
        >>> levels = [
        ...     Natural(np.zeros((15 * 2**k, 15 * 2**k, 32 // 2**k, 32 // 2**k)), 4, 4 * 2**k)
        ...     for k in range(3)
        ... ]
        >>> [level.window_extent for level in Bipyramid(levels)]
        [(60, 60), (120, 120), (240, 240)]
    """

    _window_growth = 2

    @classmethod
    def from_aligned(
        cls,
        levels: Sequence[Aligned[ArrayT]],
        *,
        sigma_vu: float | None = None,
        sigma_hw: float | None = None,
        pad_value: float = 0.0,
    ) -> Bipyramid[ArrayT]:
        """Return the bipyramid of aligned tensors, each evaluated only when it is asked for.

        Args:
            levels: level k is the aligned input of level k of the bipyramid: coarse cells on a
                fine grid, as swap_align2nat takes it. Its window extent is 2^k times the first's.
            sigma_vu: cell length of all levels in px; by default the first level's stride.
            sigma_hw: stride of level 0 in px; by default the first level's cell length.
            pad_value: what is read outside.

        Example:
            >>> import numpy as np
            >>> x = np.zeros((1, 9, 9, 32, 32))
            >>> levels = [Aligned(x, sigma_vu=4 * 2**k, sigma_hw=4) for k in range(3)]
            >>> pyramid = Bipyramid.from_aligned(levels, pad_value=-6.0)
            >>> pyramid.level(2).shape, pyramid.windows(2, np.array([[0, 3, 3]])).shape
            ((1, 36, 36, 8, 8), (1, 36, 36))
        """
        return _LazyBipyramid(levels, sigma_vu, sigma_hw, pad_value)


class MaskPyramid(_Pyramid[ArrayT]):
    """A feature pyramid of masks: the same (V, U) on each level, both units doubling.

    Args:
        levels: the natural tensors, finest grid first. Raises as :class:`Bipyramid` does.

    Example:
        >>> import numpy as np
        >>> levels = [Natural(np.zeros((15, 15, 32 // 2**k, 32 // 2**k)), 4 * 2**k, 4 * 2**k)
        ...           for k in range(3)]
        >>> [level.window_extent for level in MaskPyramid(levels)]
        [(60, 60), (120, 120), (240, 240)]
    """

    _window_growth = 1


class _Arguments(TypedDict):
    sigma_vu: float
    sigma_hw: float
    pad_value: float


class _LazyBipyramid(Bipyramid[ArrayT]):
    """A bipyramid whose levels are still aligned."""

    def __init__(
        self,
        levels: Sequence[Aligned[ArrayT]],
        sigma_vu: float | None,
        sigma_hw: float | None,
        pad_value: float,
    ) -> None:
        if not levels:
            raise LayoutError("Bipyramid.from_aligned expects at least one level, got none")
        for level in levels:
            _check_type(level, Aligned, "Bipyramid.from_aligned")
            check_same_library(levels[0].data, level.data, "Bipyramid.from_aligned")
        self._sources = tuple(levels)
        self._sigma_vu = levels[0].sigma_hw if sigma_vu is None else sigma_vu
        self._sigma_hw = levels[0].sigma_vu if sigma_hw is None else sigma_hw
        self._pad_value = pad_value
        for k, level in enumerate(levels):
            _check_extent(k, level, levels[0])
        Units(self._sigma_vu, self._sigma_hw)  # raises where they are no units

    def __len__(self) -> int:
        return len(self._sources)

    def level(self, k: int) -> Natural[ArrayT]:
        k = _place(k, len(self))
        return self._sources[k].natural(**self._target(k))

    def windows(self, k: int, index: ArrayT) -> ArrayT:
        k = _place(k, len(self))
        return self._sources[k].windows(index, **self._target(k))

    def _target(self, k: int) -> _Arguments:
        return _Arguments(
            sigma_vu=self._sigma_vu, sigma_hw=self._sigma_hw * 2**k, pad_value=self._pad_value
        )


def _place(k: int, levels: int) -> int:
    """Return ``k`` as a number from 0 on; a negative one counts from the coarsest level."""
    if not -levels <= k < levels:
        raise IndexError(f"a level expects k in [0, {levels}), got {k}")
    return k % levels


def _check_type(level: object, expected: type, what: str) -> None:
    if not isinstance(level, expected):
        raise LayoutError(
            f"{what} expects {expected.__name__} tensors, got {type(level).__name__}; "
            "convert with .natural(...) or .aligned(...)"
        )


def _check_extent(k: int, level: Aligned[Any], base: Aligned[Any]) -> None:
    expected = tuple(2**k * px for px in base.window_extent)
    if level.window_extent != expected:
        raise UnitError(
            f"level {k} of a Bipyramid expects windows of {expected} px, got {level.window_extent} "
            f"px: {level.window_size} cells of {level.sigma_vu} px"
        )
    grids = [(*t.shape[:-4], *(t.sigma_hw * n for n in t.shape[-2:])) for t in (base, level)]
    if grids[0] != grids[1]:
        raise LayoutError(
            f"level {k} of a Bipyramid expects the batch and the image extent (px) {grids[0]} of "
            f"its first level, got {grids[1]}"
        )
