"""Checks of arrays at the public boundary, and the fold of leading axes into one batch axis."""

from __future__ import annotations

import math
from typing import Any, TypeVar

from tensormask_core.errors import LayoutError

ArrayT = TypeVar("ArrayT")

LAYOUT = "(*batch, V, U, H, W)"
FLOATS = ("float16", "bfloat16", "float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
NARROW = ("int8", "int16", "uint8", "uint16")  # too narrow to count the images of a batch


def shape_of(array: Any) -> tuple[int, ...]:
    """Return the shape of an array of any library."""
    return tuple(array.shape)


def dtype_name(array: Any) -> str:
    """Return the bare name of an array's dtype: ``float32`` for every library."""
    return str(array.dtype).rpartition(".")[2]


def check_array(array: Any, what: str, layout: str = LAYOUT) -> None:
    """Raise unless ``array`` is one."""
    if not (hasattr(array, "shape") and hasattr(array, "dtype")):
        raise TypeError(
            f"{what} expects an array {layout}, got {type(array).__name__}; "
            "convert it, e.g. numpy.asarray(x)"
        )


def check_layout(array: Any, what: str) -> None:
    """Raise unless ``array`` is a floating array of at least four axes."""
    check_array(array, what)
    if len(array.shape) < 4:
        raise LayoutError(
            f"{what} expects an array {LAYOUT} of at least 4 axes, got shape "
            f"{tuple(array.shape)}; from_channels(x, window) splits channels into (V, U)"
        )
    if dtype_name(array) not in FLOATS:
        raise TypeError(
            f"{what} expects one of {', '.join(FLOATS)}, got {dtype_name(array)}; convert it first"
        )


def check_index(index: Any, array: Any) -> None:
    """Raise unless ``index`` is (K, B + 2) integers for an ``array`` of B batch axes."""
    columns = len(array.shape) - 2
    check_array(index, "index", f"(K, {columns}) of integers")
    if len(index.shape) != 2 or index.shape[1] != columns:
        raise LayoutError(
            f"index expects shape (K, {columns}), the batch indices of {LAYOUT} and then y and x, "
            f"got {tuple(index.shape)} for an array of shape {tuple(array.shape)}"
        )
    if dtype_name(index) not in INTEGERS:
        raise LayoutError(f"index expects integers, got {dtype_name(index)}; convert it first")


def check_same_library(first: Any, second: Any, what: str) -> None:
    """Raise unless both arrays come from one library."""
    libraries = [_library(first), _library(second)]
    if libraries[0] != libraries[1]:
        raise TypeError(
            f"{what} expects arrays of one library, got {libraries[0]} and {libraries[1]}; "
            f"convert the second to {libraries[0]}"
        )


def fold_batch(array: Any) -> Any:
    """Return (N, V, U, H, W): all leading axes as one."""
    batch = array.shape[:-4]
    return array if len(batch) == 1 else reshape(array, (math.prod(batch), *array.shape[-4:]))


def fold_index(index: Any, batch: tuple[int, ...]) -> Any:
    """Return (K, 3): the batch columns of ``index`` as one row-major batch index, then y and x.

    Where one of them is out of range so is the result, at the product of all extents.
    """
    if len(batch) == 1:
        return index
    xp = _namespace(index)
    if dtype_name(index) in NARROW:
        index = xp.astype(index, xp.int32)
    flat, inside = 0 * index[:, -2], index[:, -2] == index[:, -2]
    for axis, extent in enumerate(batch):
        flat = flat * extent + index[:, axis]
        inside = inside & (index[:, axis] >= 0) & (index[:, axis] < extent)
    flat = xp.where(inside, flat, xp.full_like(flat, math.prod(batch)))
    return xp.stack((flat, index[:, -2], index[:, -1]), axis=1)


def reshape(array: ArrayT, shape: tuple[int, ...]) -> ArrayT:
    """Reshape an array of any library."""
    if hasattr(array, "reshape"):
        reshaped: ArrayT = array.reshape(shape)
    else:
        reshaped = _namespace(array).reshape(array, shape)
    return reshaped


def _namespace(array: Any) -> Any:
    from array_api_compat import array_namespace  # noqa: PLC0415  (not traceable; seldom needed)

    return array_namespace(array)


def _library(array: Any) -> str:
    return type(array).__module__.partition(".")[0].removesuffix("lib")
