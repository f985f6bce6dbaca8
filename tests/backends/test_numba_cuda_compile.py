"""numba's CUDA kernels are compiled to PTX for real targets, which needs no device.

libnvvm comes with the CUDA toolkit or, by pip, with ``numba-cuda[cu13]``.
"""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tensormask_core.plan import make_plan
from tensormask_core.testing import require
from tensormask_core.testing.require import VARIABLE
from tensormask_core.units import Units

require("numba")

import numba  # noqa: E402  (where there is one)
from numba import cuda  # noqa: E402
from numba.cuda.cudadrv.error import NvvmSupportError  # noqa: E402
from numba.cuda.cudadrv.nvvm import NVVM  # noqa: E402

from tensormask_numba._cuda import _backend  # noqa: E402
from tensormask_numba._cuda._arrays import Flat  # noqa: E402
from tensormask_numba._cuda._elements import ELEMENTS  # noqa: E402
from tensormask_numba._cuda._matrix import matrix_of  # noqa: E402
from tensormask_numba._cuda._nodes import make_nodes  # noqa: E402
from tensormask_numba._cuda._tables import Steps, make_columns, make_rows, make_taps  # noqa: E402

TARGETS = [(8, 0), (9, 0), (10, 0)]


@pytest.fixture(scope="module", autouse=True)
def libnvvm() -> None:
    try:
        NVVM()
    except NvvmSupportError as error:
        if "libnvvm" in os.environ.get(VARIABLE, "").split(","):
            raise
        pytest.skip(f"no libnvvm here: {error}")


@pytest.mark.parametrize("target", TARGETS, ids=str)
@pytest.mark.parametrize("name", list(ELEMENTS))
def test_every_kernel_compiles(
    name: str, target: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = SimpleNamespace(compute_capability=target)
    monkeypatch.setattr("numba.cuda.dispatcher.get_current_device", lambda: here)
    for kind, values in kernel_arguments(name).items():
        kernel = _backend._KERNELS[kind](name).py_func
        types = tuple(map(numba.typeof, values))
        code, _ = cuda.compile_ptx(kernel, types, device=False, cc=target)
        assert ".entry" in code
        assert name == "float64" or ".f64" not in code  # a slip into double costs 64 times


def kernel_arguments(name: str) -> dict[str, tuple[Any, ...]]:
    """Return, by kernel, arguments of the types that it is called with."""
    stored, compute = ELEMENTS[name]
    plan = make_plan((3, 3, 8, 8), Units(2, 1), Units(1, 2), 1)
    matrix, nodes = matrix_of(plan, 0, adjoint=False), make_nodes(plan, 0, compute)
    arrays = (Flat(np.zeros(1, stored), *[0] * 7),) * 2
    steps = Steps((0, 0), (0, 0))
    taps, pad = make_taps(matrix, compute, steps), np.dtype(compute).type(0)
    index = np.zeros((1, 3), np.int64)
    return {
        "tiled": (
            *arrays,
            make_rows(matrix, compute, steps),
            make_columns(matrix, compute),
            0,
            pad,
        ),
        "direct": (*arrays, taps, taps, 0, pad),
        "windows": (arrays[0], arrays[1].data, index, nodes, nodes, pad),
        "windows_adjoint": (*arrays, index, nodes, nodes, 0),
    }
