"""What numba's CUDA kernels read besides the arrays, and what they refuse without a device."""

from __future__ import annotations

import numpy as np
import pytest

from tensormask_core import BackendUnavailable
from tensormask_core.plan import Plan, make_plan
from tensormask_core.testing import require
from tensormask_core.units import Units

require("numba")

from numba import cuda  # noqa: E402  (where there is one)

from tensormask_numba._cuda import CudaKernels  # noqa: E402
from tensormask_numba._cuda._arrays import library_of  # noqa: E402
from tensormask_numba._cuda._matrix import Matrix, matrix_of  # noqa: E402
from tensormask_numba._cuda._tables import (  # noqa: E402
    BANKS,
    SLOT_BITS,
    Steps,
    make_columns,
    make_rows,
    slots_of,
)


def swap(lam: int) -> Plan:
    return make_plan((15, 15, 200, 304), Units(4 * lam, 4), Units(4, 4 * lam), 1)


def columns_of(lam: int, *, adjoint: bool = False) -> Matrix:
    return matrix_of(swap(lam), 1, adjoint=adjoint)


@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("lam", [1, 2, 8, 32])
def test_real_extents_fit_into_few_tiles(lam: int, adjoint: bool) -> None:
    columns = make_columns(columns_of(lam, adjoint=adjoint), "float32")
    assert columns is not None
    assert len(columns.first) <= 4
    assert (columns.tap & ((1 << SLOT_BITS) - 1)).max() < slots_of("float32")


@pytest.mark.parametrize("lam", [2, 4, 8])
def test_neighbours_read_different_banks(lam: int) -> None:
    columns = make_columns(columns_of(lam), "float32")
    assert columns is not None
    middle = columns.size[0, 1] * (columns.size[0, 0] // 2)  # a cell far from the border
    inner = np.arange(middle + 4, middle + 4 + min(BANKS, columns.size[0, 1] - 8))
    slot = columns.tap[columns.start[inner]] & ((1 << SLOT_BITS) - 1)
    assert len(np.unique(slot % BANKS)) == len(inner)


@pytest.mark.parametrize("adjoint", [False, True])
def test_groups_of_rows_share_what_they_read(adjoint: bool) -> None:
    rows = matrix_of(swap(8), 0, adjoint=adjoint)
    groups = make_rows(rows, "float32", Steps((0, 0), (0, 0)))
    assert len(groups.source) < 0.75 * len(rows.operand)


def test_no_device_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "is_available", lambda: False)
    with pytest.raises(BackendUnavailable, match="install a driver"):
        CudaKernels()


def test_arrays_elsewhere_are_refused() -> None:
    with pytest.raises(TypeError, match=r"CUDA array of torch, cupy, numba, got numpy\.ndarray"):
        library_of(np.zeros(1))
