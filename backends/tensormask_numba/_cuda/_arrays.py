"""Arrays of the caller's library as numba sees them: memory, strides, device and stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numba import config, cuda

from tensormask_core.layout import dtype_name
from tensormask_numba._cuda._elements import ELEMENTS

Shape = tuple[int, ...]
SIMULATED = bool(config.ENABLE_CUDASIM)


class Flat(NamedTuple):
    """Memory as one axis, and where in it a sample (n, v, u, y, x) lies, in elements.

    Attributes:
        data: (span,), from the lowest address of the array to the highest.
        first: where sample 0 is.
        extent: N.
        n: stride of N, and so on.
        v: of V.
        u: of U.
        y: of H.
        x: of W.
    """

    data: Any
    first: int
    extent: int
    n: int
    v: int
    u: int
    y: int
    x: int


@dataclass(frozen=True)
class Library:
    """What has to be asked of an array library.

    Attributes:
        empty: makes an array of a shape that is like another one.
        stream: the handle of the caller's current stream.
        device: the number of an array's device.
    """

    empty: Callable[[Shape, Any], Any]
    stream: Callable[[Any], int]
    device: Callable[[Any], int]


def _numba_stream(like: Any) -> int:
    stream: Any = getattr(like, "stream", 0)
    return int(getattr(stream.handle, "value", stream.handle) or 0) if stream else 0


LIBRARIES = {
    "torch": Library(
        lambda shape, like: like.new_empty(shape),
        lambda like: int(import_module("torch").cuda.current_stream(like.device).cuda_stream),
        lambda like: int(like.device.index),
    ),
    "cupy": Library(
        lambda shape, like: import_module("cupy").empty(shape, like.dtype),
        lambda like: int(import_module("cupy").cuda.get_current_stream().ptr),
        lambda like: int(like.device.id),
    ),
    "numba": Library(
        lambda shape, like: cuda.device_array(shape, like.dtype),
        _numba_stream,
        lambda like: 0 if SIMULATED else int(like.gpu_data.context.device.id),
    ),
}


def library_of(array: Any) -> Library:
    """Return the library of an array, by the package that its type lives in.

    Raises:
        TypeError: it is none that results can be made for.
    """
    name = type(array).__module__.partition(".")[0].removesuffix("_cuda")
    if name not in LIBRARIES or not (SIMULATED or hasattr(array, "__cuda_array_interface__")):
        raise TypeError(
            f"expected a CUDA array of {', '.join(LIBRARIES)}, got "
            f"{type(array).__module__}.{type(array).__qualname__}; move it to the device, or wrap "
            "it without a copy, e.g. cupy.asarray(x)"
        )
    return LIBRARIES[name]


def element_of(array: Any) -> str:
    """Return the name of an array's dtype.

    Raises:
        TypeError: no kernel computes it.
    """
    name = dtype_name(array)
    if name not in ELEMENTS:
        raise TypeError(f"expected one of {', '.join(ELEMENTS)}, got {name}; convert it first")
    return name


@contextmanager
def caller(array: Any) -> Iterator[Any]:
    """Make an array's device current and give the caller's stream, as numba wants it."""
    library = library_of(array)
    with cuda.gpus[library.device(array)]:
        handle = 0 if SIMULATED else library.stream(array)
        yield cuda.external_stream(handle) if handle else 0


def flat(array: Any) -> Flat:
    """Return an array (N, V, U[, H, W]) as memory and strides, without a copy."""
    stored = ELEMENTS[element_of(array)].stored
    data, first, strides = _memory(array, np.dtype(stored))
    n, v, u, y, x = (*strides, 0, 0)[:5]
    return Flat(data, first, array.shape[0], n, v, u, y, x)


def matrix(index: Any, like: Any) -> Any:
    """Return an index (K, 3) as numba's own array.

    Raises:
        TypeError: it is not where the array is.
    """
    if not SIMULATED and not hasattr(index, "__cuda_array_interface__"):
        raise TypeError(
            f"index expects an array on the device of the input, got "
            f"{type(index).__module__}.{type(index).__qualname__}; move it there"
        )
    return index if SIMULATED else cuda.as_cuda_array(index, sync=False)


def _memory(array: Any, dtype: np.dtype[Any]) -> tuple[Any, int, Shape]:
    """Return the elements from the lowest address on, which is the first sample, and strides."""
    if SIMULATED:
        address, strides, shape = 0, array.strides, array.shape
    else:
        interface = array.__cuda_array_interface__
        shape, address = interface["shape"], interface["data"][0]
        strides = interface.get("strides") or _contiguous(shape, dtype.itemsize)
    steps = tuple(stride // dtype.itemsize for stride in strides)
    reach = [(extent - 1) * step for extent, step in zip(shape, steps, strict=True)]
    low = sum(min(0, far) for far in reach)
    span = sum(max(0, far) for far in reach) - low + 1
    if SIMULATED:
        return _simulated(array, dtype, span), -low, steps
    description = {
        "data": (address + low * dtype.itemsize, False),
        "shape": (span,),
        "typestr": dtype.str,
        "version": 3,
    }
    return cuda.from_cuda_array_interface(description, owner=array, sync=False), -low, steps


def _simulated(array: Any, dtype: np.dtype[Any], span: int) -> Any:
    values = array.copy_to_host() if not hasattr(array, "_ary") else array._ary
    lowest = values[tuple(slice(None, None, -1 if step < 0 else 1) for step in values.strides)]
    line = np.lib.stride_tricks.as_strided(lowest, (span,), (values.dtype.itemsize,))
    return line.view(dtype)


def _contiguous(shape: Shape, itemsize: int) -> Shape:
    extents = [itemsize, *reversed(shape[1:])]
    return tuple(int(step) for step in np.cumprod(extents)[::-1])
