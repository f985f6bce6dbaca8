"""MaskTensor: an array ``(*batch, V, U, H, W)`` that carries its units and its representation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from tensormask_core import pytrees
from tensormask_core.apply import Direction, Target, transform, transform_windows
from tensormask_core.errors import LayoutError
from tensormask_core.layout import check_layout, shape_of
from tensormask_core.plan import (
    ALIGNED_TO_NATURAL,
    NATURAL_TO_ALIGNED,
    SAME_REPRESENTATION,
    Border,
    Mode,
)
from tensormask_core.units import Units, check_positive

ArrayT = TypeVar("ArrayT")
TensorT = TypeVar("TensorT", bound="MaskTensor[Any]")


@dataclass(frozen=True, slots=True, eq=False)
class MaskTensor(Generic[ArrayT]):
    """A mask for every sliding window; see :class:`Natural` and :class:`Aligned`.

    Attributes:
        data: (*batch, V, U, H, W) of a floating dtype, from any array library.
        sigma_vu: length of a mask cell in image pixels.
        sigma_hw: stride of the feature map in image pixels.

    Raises:
        LayoutError: ``data`` has fewer than four axes.
        UnitError: a unit is not positive and finite.
        TypeError: ``data`` is no array of a floating dtype, or neither representation is named.
    """

    data: ArrayT
    sigma_vu: float
    sigma_hw: float

    def __post_init__(self) -> None:
        if type(self) is MaskTensor:
            raise TypeError("a MaskTensor expects a representation; make it Natural or Aligned")
        pytrees.register_loaded_frameworks()
        check_layout(self.data, type(self).__name__)
        Units(self.sigma_vu, self.sigma_hw)

    @property
    def units(self) -> Units:
        """The two units as one value."""
        return Units(self.sigma_vu, self.sigma_hw)

    @property
    def alpha(self) -> float:
        """The ratio sigma_vu / sigma_hw."""
        return self.units.alpha

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape (*batch, V, U, H, W) of the data."""
        return shape_of(self.data)

    @property
    def window_size(self) -> tuple[int, int]:
        """(V, U), in cells."""
        return self.shape[-4], self.shape[-3]

    @property
    def window_extent(self) -> tuple[float, float]:
        """Height and width of a window, in image pixels."""
        v, u = self.window_size
        return v * self.sigma_vu, u * self.sigma_vu

    def natural(
        self,
        *,
        sigma_vu: float | None = None,
        sigma_hw: float | None = None,
        pad_value: float = 0.0,
        mode: Mode = "bilinear",
        vu_border: Border = "pad",
    ) -> Natural[ArrayT]:
        """Return the same masks in the natural representation and the given units (eq. 5).

        Args:
            sigma_vu: cell length of the result in px; unchanged when omitted.
            sigma_hw: stride of the result in px; unchanged when omitted.
            pad_value: what is read outside the feature map.
            mode: interpolation between mask cells.
            vu_border: whether ``pad_value`` or the outermost cell lies beyond the window.

        Raises:
            UnitError: the window would not be a whole number of cells.

        Example:
            >>> import numpy as np
            >>> coarse = Aligned(np.zeros((15, 15, 200, 304)), sigma_vu=32, sigma_hw=4)
            >>> coarse.natural(sigma_vu=4, sigma_hw=32).shape
            (120, 120, 25, 38)
        """
        return self._convert(Natural, sigma_vu, sigma_hw, pad_value, mode, vu_border)

    def aligned(
        self,
        *,
        sigma_vu: float | None = None,
        sigma_hw: float | None = None,
        pad_value: float = 0.0,
        mode: Mode = "bilinear",
        vu_border: Border = "pad",
    ) -> Aligned[ArrayT]:
        """Return the same masks in the aligned representation; arguments as in :meth:`natural`."""
        return self._convert(Aligned, sigma_vu, sigma_hw, pad_value, mode, vu_border)

    def windows(
        self,
        index: ArrayT,
        *,
        sigma_vu: float | None = None,
        sigma_hw: float | None = None,
        pad_value: float = 0.0,
        mode: Mode = "bilinear",
        vu_border: Border = "pad",
    ) -> ArrayT:
        """Return the natural masks of chosen windows only, without the dense tensor.

        Args:
            index: (K, B + 2) integers of the same array library: the B batch indices, then y
                and x on the grid of stride ``sigma_hw`` of the result.
            sigma_vu: see :meth:`natural`, as for the other arguments.
            sigma_hw: see :meth:`natural`.
            pad_value: see :meth:`natural`.
            mode: see :meth:`natural`.
            vu_border: see :meth:`natural`.

        Returns:
            (K, V', U') of the same dtype.

        Raises:
            LayoutError: ``index`` has another shape or is not of integers.
            TypeError: ``index`` is of another array library.

        Example:
            >>> import numpy as np
            >>> coarse = Aligned(np.zeros((2, 15, 15, 200, 304)), sigma_vu=32, sigma_hw=4)
            >>> index = np.array([[0, 3, 5], [1, 24, 37]])
            >>> coarse.windows(index, sigma_vu=4, sigma_hw=32).shape
            (2, 120, 120)
        """
        target = Target(
            self._units(sigma_vu, sigma_hw), _direction(type(self), Natural), mode, vu_border,
            pad_value,
        )  # fmt: skip
        return transform_windows(self.data, index, self.units, target)

    def up(self, lam: float, mode: Mode = "bilinear", *, vu_border: Border = "edge") -> Self:
        """Return the masks with cells ``lam`` times finer: up_bilinear, up_nearest (section 4).

        Example:
            >>> import numpy as np
            >>> Natural(np.zeros((10, 10, 8, 8)), sigma_vu=6, sigma_hw=4).up(1.5).shape
            (15, 15, 8, 8)
        """
        check_positive("lam", lam)
        return self._convert(type(self), self.sigma_vu / lam, None, 0.0, mode, vu_border)

    def subsample(self, lam: float) -> Self:
        """Return every ``lam``-th window along H and W."""
        check_positive("lam", lam)
        return self._convert(type(self), None, self.sigma_hw * lam, 0.0, "bilinear", "edge")

    def _units(self, sigma_vu: float | None, sigma_hw: float | None) -> Units:
        return Units(
            self.sigma_vu if sigma_vu is None else sigma_vu,
            self.sigma_hw if sigma_hw is None else sigma_hw,
        )

    def _convert(
        self,
        to: type[TensorT],
        sigma_vu: float | None,
        sigma_hw: float | None,
        pad_value: float,
        mode: Mode,
        vu_border: Border,
    ) -> TensorT:
        units = self._units(sigma_vu, sigma_hw)
        target = Target(units, _direction(type(self), to), mode, vu_border, pad_value)
        return to(transform(self.data, self.units, target), units.sigma_vu, units.sigma_hw)


@dataclass(frozen=True, slots=True, eq=False)
class Natural(MaskTensor[ArrayT]):
    """The value at (v, u, y, x) belongs to the window centred at (y, x) (section 3.2).

    With centred v it is the mask's value at image row ``sigma_hw * y + sigma_vu * v``.

    Example:
        >>> import numpy as np
        >>> masks = Natural(np.zeros((2, 15, 15, 25, 38), np.float32), sigma_vu=4, sigma_hw=32)
        >>> masks.window_extent
        (60, 60)
    """

    def nat2align(self, *, pad_value: float = 0.0) -> Aligned[ArrayT]:
        """Return the aligned representation in the same units.

        It undoes :meth:`Aligned.align2nat` away from the border where ``alpha * v`` is an integer.
        """
        return self.aligned(pad_value=pad_value)


@dataclass(frozen=True, slots=True, eq=False)
class Aligned(MaskTensor[ArrayT]):
    """The value at (v, u, y, x) is the mask's value at (y, x) itself (section 3.3).

    It belongs to the window centred at image row ``sigma_hw * y - sigma_vu * v``.

    Example:
        >>> import numpy as np
        >>> coarse = Aligned(np.zeros((15, 15, 200, 304), np.float32), sigma_vu=32, sigma_hw=4)
        >>> coarse.swap_align2nat(8, pad_value=-6.0).shape
        (120, 120, 25, 38)
    """

    def align2nat(self, *, pad_value: float = 0.0) -> Natural[ArrayT]:
        """Return the natural representation in the same units (section 3.4)."""
        return self.natural(pad_value=pad_value)

    def up_align2nat(
        self,
        lam: float,
        *,
        pad_value: float = 0.0,
        mode: Mode = "bilinear",
        vu_border: Border = "pad",
    ) -> Natural[ArrayT]:
        """Return natural masks with cells ``lam`` times finer (section 4.1)."""
        check_positive("lam", lam)
        return self.natural(
            sigma_vu=self.sigma_vu / lam, pad_value=pad_value, mode=mode, vu_border=vu_border
        )

    def swap_align2nat(
        self, lam: float, *, pad_value: float = 0.0, vu_border: Border = "pad"
    ) -> Natural[ArrayT]:
        """Return natural masks, ``lam`` times finer in (V, U) and coarser in (H, W) (4.2)."""
        check_positive("lam", lam)
        return self.natural(
            sigma_vu=self.sigma_vu / lam,
            sigma_hw=self.sigma_hw * lam,
            pad_value=pad_value,
            vu_border=vu_border,
        )


def _direction(source: type[MaskTensor[Any]], to: type[MaskTensor[Any]]) -> Direction:
    if issubclass(source, to):
        return SAME_REPRESENTATION
    return ALIGNED_TO_NATURAL if issubclass(source, Aligned) else NATURAL_TO_ALIGNED


def _refuse(method: str, needs: str, got: str, remedy: str) -> Any:
    def refuse(self: MaskTensor[Any], *args: object, **kwargs: object) -> None:
        raise LayoutError(f"{method} expects {needs} tensor, got {got} one; {remedy}")

    return refuse


if not TYPE_CHECKING:  # unknown to a type checker, a LayoutError with a remedy for everybody else
    for _method in ("align2nat", "up_align2nat", "swap_align2nat"):
        _remedy = "convert it first with .nat2align() or .aligned(...)"
        setattr(Natural, _method, _refuse(_method, "an aligned", "a natural", _remedy))
    _remedy = "convert it first with .align2nat() or .natural(...)"
    Aligned.nat2align = _refuse("nat2align", "a natural", "an aligned", _remedy)


def _flatten(tensor: MaskTensor[Any]) -> tuple[tuple[Any, ...], tuple[float, float]]:
    return (tensor.data,), (tensor.sigma_vu, tensor.sigma_hw)


def _unflatten_as(cls: type[TensorT]) -> Any:
    def unflatten(units: tuple[float, float], children: Any) -> TensorT:
        # Frameworks rebuild trees around placeholders that are no arrays: nothing is checked.
        tensor = object.__new__(cls)
        for name, value in zip(("data", "sigma_vu", "sigma_hw"), (*children, *units), strict=True):
            object.__setattr__(tensor, name, value)
        return tensor

    return unflatten


for _cls in (Natural, Aligned):
    pytrees.add_node(_cls, _flatten, _unflatten_as(_cls))
