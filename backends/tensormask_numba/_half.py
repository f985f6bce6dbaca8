"""float16 to float32 and back in vectors; numpy converts one number at a time."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import njit, types, uintp
from numba.extending import intrinsic
from numpy.typing import NDArray

from tensormask_numba._blend import KERNEL

Array = NDArray[Any]
Run = Callable[[Callable[[int, int], None], int, int], None]  # a task, its count, its samples


@intrinsic
def _wide(typing_context, bits):
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.uint16), generate


@intrinsic
def _narrow(typing_context, value):
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        half = builder.fptrunc(arguments[0], ir.HalfType())
        return builder.bitcast(half, ir.IntType(16))

    return types.uint16(types.float32), generate


@njit(**KERNEL)
def _widen(bits, out, begin, end):
    for i in range(uintp(begin), uintp(end)):
        out[i] = _wide(bits[i])


@njit(**KERNEL)
def _narrow_all(values, out, begin, end):
    for i in range(uintp(begin), uintp(end)):
        out[i] = _narrow(values[i])


@cache
def converts_halves() -> bool:
    """Return whether the processor does it; other x86 would call a function that is not there."""
    features = get_host_cpu_features()
    return platform.machine().lower() in ("arm64", "aarch64") or bool(features.get("f16c"))


def as_float32(x: Array, run: Run) -> Array:
    """Return a float16 array as a contiguous float32 array."""
    out = np.empty(x.shape, np.float32)
    bits = np.ascontiguousarray(x).view(np.uint16)
    run(partial(_widen, bits.reshape(-1), out.reshape(-1)), x.size, x.size)
    return out


def as_float16(x: Array, run: Run) -> Array:
    """Return a contiguous float32 array as float16, rounded to nearest even."""
    out = np.empty(x.shape, np.float16)
    bits = out.view(np.uint16)
    run(partial(_narrow_all, x.reshape(-1), bits.reshape(-1)), x.size, x.size)
    return out
