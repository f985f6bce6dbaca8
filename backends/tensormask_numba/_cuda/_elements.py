"""Elements: how the kernels read and write each dtype; half types are computed in float32.

bfloat16 is no type of numba's, so its bits travel as uint16: it is the upper half of a float32.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import cuda, types


class Element(NamedTuple):
    """One dtype.

    Attributes:
        stored: the numpy dtype that the kernels see in memory.
        compute: the numpy dtype to compute in.
    """

    stored: str
    compute: str


ELEMENTS = {
    "float16": Element("float16", "float32"),
    "bfloat16": Element("uint16", "float32"),
    "float32": Element("float32", "float32"),
    "float64": Element("float64", "float64"),
}


def accessors(name: str) -> tuple[Any, Any]:
    """Return new device functions that turn a stored element into a number and back."""
    if name == "bfloat16":
        return cuda.jit(device=True)(_from_bits), cuda.jit(device=True)(_to_bits)
    stored, compute = (getattr(types, kind) for kind in ELEMENTS[name])

    def load(element: Any) -> Any:
        return compute(element)

    def store(value: Any) -> Any:
        return stored(value)

    return cuda.jit(device=True)(load), cuda.jit(device=True)(store)


def _from_bits(bits: Any) -> Any:
    return np.uint32(np.uint32(bits) << np.uint32(16)).view(np.float32)


def _to_bits(value: Any) -> Any:
    """Round to the nearest, ties to even; a NaN stays one."""
    bits = np.float32(value).view(np.uint32)
    if math.isnan(value):
        return np.uint16(0x7FC0)
    half = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return np.uint16((bits + half) >> np.uint32(16))
