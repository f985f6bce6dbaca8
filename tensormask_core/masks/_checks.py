"""What every function of the package asks of its arguments, and the way to the host."""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np
import numpy.typing as npt

from tensormask_core.errors import LayoutError

Boxes = npt.NDArray[np.float64]


def to_host(array: Any) -> npt.NDArray[Any]:
    """Return `array` as a numpy array, from whatever library and device it comes."""
    if hasattr(array, "detach"):  # torch: numpy refuses gradients and devices
        array = array.detach().cpu()
    if str(getattr(array, "dtype", "")).endswith("bfloat16"):  # numpy has no such number
        xp = array_api_compat.array_namespace(array)
        array = xp.astype(array, xp.float32)
    return np.asarray(array.get() if hasattr(array, "get") else array)  # cupy: get()


def host_boxes(name: str, boxes: Any) -> Boxes:
    """Return `boxes` as finite (K, 4) float64 on the host."""
    host = to_host(boxes).astype(np.float64)
    if host.shape == (0,):
        host = host.reshape(0, 4)
    if host.ndim != 2 or host.shape[1] != 4:
        raise LayoutError(f"{name} expects boxes (K, 4) XYXY in px, got shape {host.shape}")
    bad = np.flatnonzero(~np.isfinite(host).all(axis=1))
    if bad.size:
        raise LayoutError(f"{name} expects finite boxes, got {host[bad[0]]} at {bad[0]}")
    return host


def check_rank(name: str, what: str, layout: str, array: Any) -> None:
    """Raise unless `array` has as many axes as `layout` names."""
    rank = layout.count(",") + 1
    if len(array.shape) != rank:
        raise LayoutError(f"{name} expects {what} {layout}, got shape {tuple(array.shape)}")


def check_size(name: str, what: str, size: tuple[int, int]) -> tuple[int, int]:
    """Return `size` as two positive ints."""
    if len(size) != 2 or any(int(extent) != extent or extent < 1 for extent in size):
        raise LayoutError(f"{name} expects {what} as two positive whole numbers, got {size!r}")
    return int(size[0]), int(size[1])


def check_same_length(name: str, first: tuple[str, int], second: tuple[str, int]) -> None:
    """Raise unless two counts, each given with its name, are equal."""
    if first[1] != second[1]:
        raise LayoutError(
            f"{name} expects one entry of {second[0]} for each of {first[0]}, "
            f"got {first[1]} {first[0]} and {second[1]} {second[0]}"
        )
