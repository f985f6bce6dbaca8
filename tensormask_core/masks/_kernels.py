"""Compiled kernels for masks, which other packages offer by array type.

An entry point of one of these groups maps an array type, such as ``numpy.ndarray``, to a function:

* ``tensormask_core.mask_paste``: ``(windows, boxes, image_size, threshold) -> masks`` of `paste`
* ``tensormask_core.mask_rle``: ``(windows, boxes, image_size, threshold) -> list[bytes]``, the
  compressed counts of `windows_to_rle`; called with numpy arrays alone

Arguments arrive checked: windows (K, V, U) of 32 or 64 bits, boxes (K, 4) float64 of numpy, a
threshold that is above 0 where counts are asked for. A function may return `NotImplemented` for
arrays that it does not serve. These, types that nobody serves, and functions whose library is not
installed take the core's own path; the results are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from tensormask_core.errors import BackendAmbiguous
from tensormask_core.registry import offers

PASTE = "tensormask_core.mask_paste"
RLE = "tensormask_core.mask_rle"

Kernel = Callable[..., Any]


def run_kernel(group: str, windows: object, *arguments: Any) -> Any:
    """Return what the kernel for `windows` returns, or `NotImplemented` where there is none."""
    array_type: type = type(windows)
    kernel = _kernel(group, array_type)
    return NotImplemented if kernel is None else kernel(windows, *arguments)


@cache
def _kernel(group: str, array_type: type) -> Kernel | None:
    """Return the function that is offered for a type or for the nearest of its bases."""
    for base in array_type.__mro__:
        name = f"{base.__module__}.{base.__qualname__}"
        points = offers(group, name)
        if len(points) > 1:
            raise BackendAmbiguous(
                f"{group} of {name} is offered by {', '.join(sorted(points))}; "
                "uninstall all but one"
            )
        if points:
            return _loaded(*points.values())
    return None


def _loaded(point: Any) -> Kernel | None:
    """Return the function, or None if what it needs is not installed."""
    try:
        kernel: Kernel = point.load()
    except ImportError:
        return None
    return kernel
