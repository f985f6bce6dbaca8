"""What a kernel runs on: a CUDA device, or for tests a compiler of C++ with numpy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

DTYPES = {"float16": "float", "bfloat16": "float", "float32": "float", "float64": "double"}
"""The dtypes that kernels are compiled for, and the type that they sum up in."""

SOURCES = {"separable": "separable.cu", "windows": "windows.cu", "windows_adjoint": "windows.cu"}
"""Where each kernel is."""


def tap_records(dtype: str, *fields: Array) -> Array:
    """Return taps of 16 bytes, (T, 4) int32: integers, then the weight, which comes last.

    The kernels read such a record at once.
    """
    weight = fields[-1].astype(sum_dtype(dtype))
    size = 8 // (len(fields) - 1)
    parts = [field.astype(f"i{size}")[:, None].view(np.int32) for field in fields[:-1]]
    records = np.zeros((len(weight), 4), np.int32)
    filled = np.concatenate([*parts, weight[:, None].view(np.int32)], axis=1)
    records[:, : filled.shape[1]] = filled
    return records


def sum_dtype(dtype: str) -> type[np.floating[Any]]:
    """Return the dtype that kernels for arrays of ``dtype`` sum up in."""
    return np.float64 if DTYPES[dtype] == "double" else np.float32


class Device(Protocol):
    """Holds arrays and launches kernels. Equal devices share their tables, so it is hashable.

    Attributes:
        xp: the array module, numpy or CuPy.
        shared_bytes: how much shared memory a block may have.
        largest_block: how many threads a block may have.
        observable: whether values of arrays can be looked at without waiting.
    """

    @property
    def xp(self) -> Any: ...
    @property
    def shared_bytes(self) -> int: ...
    @property
    def largest_block(self) -> int: ...
    @property
    def observable(self) -> bool: ...

    def __hash__(self) -> int: ...

    def upload(self, tables: Sequence[Array]) -> tuple[Any, ...]:
        """Return tables as arrays of the device that kernels on any stream may read."""

    def address(self, array: Any) -> int:
        """Return where an array begins in memory."""

    def launch(
        self, name: str, dtype: str, grid: tuple[int, int, int], arguments: Sequence[Any]
    ) -> None:
        """Run a kernel of SOURCES with ``grid`` = (blocks, threads, bytes of shared memory).

        Arguments are arrays, or None for none, then ints as int64, then floats as double.
        """


@lru_cache(maxsize=16)
def source(name: str, dtype: str) -> str:
    """Return the CUDA C++ source of a kernel for arrays of ``dtype``."""
    folder = files("tensormask_cupy")
    numbers, kernel = (
        folder.joinpath(file).read_text("utf-8") for file in ("numbers.cuh", SOURCES[name])
    )
    stored = dtype if dtype.endswith("16") else DTYPES[dtype]
    return f"#define STORED {stored}\n#define SUM {DTYPES[dtype]}\n{numbers}\n{kernel}"
