"""The operators of the papers on plain arrays ``(*batch, V, U, H, W)`` of any array library.

Every function is the one transform of :mod:`tensormask_core.plan` with particular units. Window
axes are explicit; :func:`from_channels` and :func:`to_channels` translate networks' channels.
"""

from __future__ import annotations

from typing import TypeVar

from tensormask_core.apply import Target, transform, transform_windows
from tensormask_core.errors import LayoutError, UnitError
from tensormask_core.layout import check_array, check_layout, reshape, shape_of
from tensormask_core.plan import ALIGNED_TO_NATURAL, NATURAL_TO_ALIGNED, Border, Mode
from tensormask_core.units import Units, check_positive

ArrayT = TypeVar("ArrayT")

__all__ = [
    "align2nat",
    "assemble",
    "from_channels",
    "nat2align",
    "subsample",
    "swap_align2nat",
    "swap_align2nat_at",
    "to_channels",
    "up_align2nat",
    "up_bilinear",
    "up_nearest",
]


def align2nat(x: ArrayT, alpha: float = 1, *, pad_value: float = 0.0) -> ArrayT:
    """Aligned to natural representation (TensorMask, section 3.4).

    ``out[v, u, y, x] = in[v, u, y + alpha * v, x + alpha * u]`` with centred v and u.

    Args:
        x: (*batch, V, U, H, W), aligned.
        alpha: sigma_vu / sigma_hw. Where ``alpha * v`` is fractional, x is interpolated.
        pad_value: what is read outside (H, W).

    Returns:
        (*batch, V, U, H, W), natural.

    Raises:
        LayoutError: fewer than four axes.
        UnitError: ``alpha`` is not positive and finite.

    Example:
        >>> import numpy as np
        >>> x = np.arange(3.0).reshape(3, 1, 1, 1) + np.zeros((3, 1, 3, 1))
        >>> align2nat(x)[:, 0, 1, 0], align2nat(x, pad_value=9.0)[:, 0, 0, 0]
        (array([0., 1., 2.]), array([9., 1., 2.]))
    """
    check_positive("alpha", alpha)
    units = Units(alpha, 1)
    return transform(x, units, Target(units, ALIGNED_TO_NATURAL, pad_value=pad_value))


def nat2align(x: ArrayT, alpha: float = 1, *, pad_value: float = 0.0) -> ArrayT:
    """Natural to aligned representation, arguments as for :func:`align2nat` (appendix A.1).

    It undoes :func:`align2nat` where ``alpha * v`` is an integer and the sample stays inside.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(3, 3, 8, 8))
        >>> inner = (..., slice(2, -2), slice(2, -2))
        >>> bool(np.allclose(nat2align(align2nat(x))[inner], x[inner]))
        True
    """
    check_positive("alpha", alpha)
    units = Units(alpha, 1)
    return transform(x, units, Target(units, NATURAL_TO_ALIGNED, pad_value=pad_value))


def up_bilinear(x: ArrayT, lam: float, *, vu_border: Border = "edge") -> ArrayT:
    """Make the cells ``lam`` times finer by bilinear interpolation on (V, U) (section 4.1).

    Args:
        x: (*batch, V, U, H, W), either representation.
        lam: how much finer; may be fractional where lam * V and lam * U are whole.
        vu_border: ``"edge"`` repeats the outermost cell, as interpolation of images does;
            ``"pad"`` reads 0 beyond it.

    Returns:
        (*batch, lam * V, lam * U, H, W).

    Raises:
        UnitError: lam is not positive, or lam * V is not whole.

    Example:
        >>> import numpy as np
        >>> up_bilinear(np.zeros((10, 10, 4, 4)), 1.5).shape
        (15, 15, 4, 4)
    """
    check_positive("lam", lam)
    return transform(x, Units(lam, 1), Target(Units(1, 1), vu_border=vu_border))


def up_nearest(x: ArrayT, lam: float) -> ArrayT:
    """Make the cells ``lam`` times finer by repetition; see :func:`up_bilinear`.

    Example:
        >>> import numpy as np
        >>> up_nearest(np.arange(2.0).reshape(2, 1, 1, 1), 2).shape
        (4, 2, 1, 1)
    """
    check_positive("lam", lam)
    return transform(x, Units(lam, 1), Target(Units(1, 1), mode="nearest", vu_border="edge"))


def subsample(x: ArrayT, lam: float) -> ArrayT:
    """Keep every ``lam``-th window: (*batch, V, U, ceil(H / lam), ceil(W / lam)).

    Example:
        >>> import numpy as np
        >>> subsample(np.zeros((3, 3, 5, 4)), 2).shape
        (3, 3, 3, 2)
    """
    check_positive("lam", lam)
    return transform(x, Units(1, 1), Target(Units(1, lam), vu_border="edge"))


def up_align2nat(
    x: ArrayT,
    lam: float,
    *,
    pad_value: float = 0.0,
    mode: Mode = "bilinear",
    vu_border: Border = "pad",
) -> ArrayT:
    """Upscale (V, U) by ``lam``, then align2nat with alpha 1 (section 4.1).

    With ``mode="nearest"`` it is the unaligned variant of the paper's Table 2b.

    Args:
        x: (*batch, V, U, H, W), aligned; a cell covers lam nodes.
        lam: how much finer the result's cells are; fractional where lam * V is whole.
        pad_value: what is read outside (H, W).
        mode: interpolation between cells.
        vu_border: whether ``pad_value`` or the outermost cell lies beyond the window.

    Returns:
        (*batch, lam * V, lam * U, H, W), natural.

    Example:
        >>> import numpy as np
        >>> up_align2nat(np.zeros((3, 3, 8, 8)), 5).shape
        (15, 15, 8, 8)
    """
    check_positive("lam", lam)
    target = Target(Units(1, 1), ALIGNED_TO_NATURAL, mode, vu_border, pad_value)
    return transform(x, Units(lam, 1), target)


def swap_align2nat(
    x: ArrayT, lam: float, *, pad_value: float = 0.0, vu_border: Border = "pad"
) -> ArrayT:
    """Swap fine (H, W) and coarse (V, U) for coarse and fine (section 4.2, the bipyramid's step).

    It equals :func:`up_align2nat` followed by :func:`subsample` at a cost that does not depend
    on lam. The published operator is this one with ``pad_value=-6`` and ``vu_border="pad"``.

    Args:
        x: (*batch, V, U, H, W), aligned, units (lam * s, s).
        lam: the ratio of the two units.
        pad_value: what is read outside (H, W), and beyond the window with ``vu_border="pad"``.
        vu_border: ``"edge"`` repeats the outermost cell of the window instead.

    Returns:
        (*batch, lam * V, lam * U, ceil(H / lam), ceil(W / lam)), natural, units (s, lam * s).

    Example:
        >>> import numpy as np
        >>> swap_align2nat(np.zeros((2, 15, 15, 20, 30)), 4, pad_value=-6.0).shape
        (2, 60, 60, 5, 8)
    """
    return transform(x, *_swap(lam, pad_value, vu_border))


def swap_align2nat_at(
    x: ArrayT,
    index: ArrayT,
    lam: float,
    *,
    pad_value: float = 0.0,
    vu_border: Border = "pad",
) -> ArrayT:
    """:func:`swap_align2nat` at chosen windows only, without the dense result.

    Args:
        x: (*batch, V, U, H, W), aligned.
        index: (K, B + 2) integers: the B batch indices, then y and x on the coarse grid.
        lam: see :func:`swap_align2nat`, as for the other arguments.
        pad_value: see :func:`swap_align2nat`.
        vu_border: see :func:`swap_align2nat`.

    Returns:
        (K, lam * V, lam * U).

    Example:
        >>> import numpy as np
        >>> swap_align2nat_at(np.zeros((2, 9, 9, 64, 64)), np.array([[1, 5, 6]]), 2).shape
        (1, 18, 18)
    """
    return transform_windows(x, index, *_swap(lam, pad_value, vu_border))


def assemble(score_maps: ArrayT, window: int | tuple[int, int]) -> ArrayT:
    """Assemble instance-sensitive score maps into a mask per window (InstanceFCN, section 3.2).

    Each cell of the K x K grid copies its region from its own score map. The region of a cell is
    the one of TensorMask's equation 6: the nearest cell, which also covers windows that K does
    not divide, such as 21 / 5.

    Args:
        score_maps: (*batch, K, K, H, W).
        window: m, or (m_v, m_u) in the proportion of the score maps' (K_v, K_u).

    Returns:
        (*batch, m, m, H, W): the mask of the window centred at each (y, x); 0 outside the map.

    Raises:
        UnitError: m_v / K_v differs from m_u / K_u.

    Example:
        >>> import numpy as np
        >>> assemble(np.zeros((5, 5, 30, 40)), 21).shape
        (21, 21, 30, 40)
    """
    check_layout(score_maps, "assemble")
    v, u = _pair(window)
    k_v, k_u = shape_of(score_maps)[-4:-2]
    if v * k_u != u * k_v:
        raise UnitError(
            f"assemble expects a window in proportion to the score maps' ({k_v}, {k_u}), got "
            f"({v}, {u}); cells are square, so m_v / K_v must equal m_u / K_u"
        )
    lam = v / k_v if k_v else 1.0
    target = Target(Units(1, 1), ALIGNED_TO_NATURAL, "nearest", "edge", 0.0)
    return transform(score_maps, Units(lam, 1), target)


def from_channels(x: ArrayT, window: int | tuple[int, int]) -> ArrayT:
    """Split channels into window axes: (*batch, V*U, H, W) to (*batch, V, U, H, W).

    Args:
        x: (*batch, C, H, W); channel ``v * U + u`` is cell (v, u).
        window: V = U, or (V, U).

    Raises:
        LayoutError: C is not V * U.

    Example:
        >>> import numpy as np
        >>> from_channels(np.zeros((2, 6, 8, 8)), (2, 3)).shape
        (2, 2, 3, 8, 8)
    """
    check_array(x, "from_channels", "(*batch, V*U, H, W)")
    shape = shape_of(x)
    v, u = _pair(window)
    if len(shape) < 3 or shape[-3] != v * u:
        raise LayoutError(
            f"from_channels expects (*batch, {v * u}, H, W) for a window of ({v}, {u}), got {shape}"
        )
    return reshape(x, (*shape[:-3], v, u, *shape[-2:]))


def to_channels(x: ArrayT) -> ArrayT:
    """Join the window axes: (*batch, V, U, H, W) to (*batch, V*U, H, W).

    Example:
        >>> import numpy as np
        >>> to_channels(np.zeros((2, 2, 3, 8, 8))).shape
        (2, 6, 8, 8)
    """
    check_layout(x, "to_channels")
    *batch, v, u, h, w = shape_of(x)
    return reshape(x, (*batch, v * u, h, w))


def _swap(lam: float, pad_value: float, vu_border: Border) -> tuple[Units, Target]:
    check_positive("lam", lam)
    target = Target(Units(1, lam), ALIGNED_TO_NATURAL, "bilinear", vu_border, pad_value)
    return Units(lam, 1), target


def _pair(window: int | tuple[int, int]) -> tuple[int, int]:
    pair = window if isinstance(window, tuple | list) else (window, window)
    if len(pair) != 2 or not all(map(_is_whole, pair)):
        raise LayoutError(f"a window expects V = U or (V, U), whole numbers, got {window!r}")
    v, u = pair
    if min(v, u) < 1:
        raise LayoutError(f"a window expects at least 1 x 1 cells, got ({v}, {u})")
    return v, u


def _is_whole(extent: object) -> bool:
    return hasattr(extent, "__index__") and not isinstance(extent, bool)
