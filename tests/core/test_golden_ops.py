"""The operator against what the published CUDA kernel computes, on every backend."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tensormask_core import Units, get_backend, ops, use_backend
from tensormask_core.testing import Case, Subject
from tensormask_core.testing.arrays import ARRAYS
from tensormask_core.testing.tolerances import assert_same_shape

CASES = ("case00", "case03", "case05", "case06", "case09", "case13", "case15")
# The arrays, the backend that evaluates them, and the module that has to be installed.
LIBRARIES = {
    "numpy": ("numpy", "numpy"),
    "array_api": ("numpy", "array_api"),
    "array_api_strict": ("array_api_strict", "array_api"),
    "jax": ("jax", "array_api"),
    "torch": ("torch", "torch"),
}


@dataclass(frozen=True)
class Golden:
    """One published case in (N, V, U, H, W), and how far from it results may be."""

    x: Any
    y: Any
    gx: Any
    gy: Any
    case: Case
    tolerance: float


@pytest.fixture(params=LIBRARIES)
def subject(request: pytest.FixtureRequest) -> Subject:
    arrays, backend = LIBRARIES[request.param]
    pytest.importorskip(arrays)
    dtype = "float32" if arrays == "jax" else "float64"
    return Subject(get_backend(backend), dtype, ARRAYS[arrays])


@pytest.fixture(params=CASES)
def golden(request: pytest.FixtureRequest, shared_dir: Path, subject: Subject) -> Golden:
    with np.load(shared_dir / "golden" / "swap_align2nat.npz", allow_pickle=False) as file:
        arrays = {key: file[f"{request.param}_{key}"] for key in ("x", "y", "gx", "gy")}
        (meta,) = (m for m in json.loads(str(file["meta"])) if m["case"] == request.param)
    lam, v = meta["lambda"], meta["V"]
    fine = lam * v
    windows = {"x": (v, v), "y": (fine, fine), "gx": (v, v), "gy": (fine, fine)}
    split = {key: ops.from_channels(arrays[key], windows[key]) for key in windows}
    units = Units(lam, 1), Units(1, lam)
    grid = (meta["H"], meta["W"])
    case = Case((v, v), grid, *units, pad_value=meta["pad"], batch=meta["N"])
    return Golden(**split, case=case, tolerance=_tolerance(meta, subject.dtype))


def _tolerance(meta: dict[str, Any], dtype: str) -> float:
    """The published kernel has float32 weights, exact only where lam is a power of two."""
    if "float32" in (meta["dtype"], dtype):
        return 1e-5
    return 1e-12 if meta["lambda"] & (meta["lambda"] - 1) == 0 else 1e-6


def _assert_near(actual: Any, expected: Any, tolerance: float) -> None:
    assert_same_shape(actual, expected)
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale)


def _all_nodes(case: Case) -> Any:
    return np.array(list(np.ndindex(case.batch, *case.plan.grid_out)))


def test_transform_is_the_published_one(subject: Subject, golden: Golden) -> None:
    actual = subject.transform(golden.x, golden.case.plan)
    _assert_near(actual, golden.y, golden.tolerance)


def test_adjoint_is_the_published_one(subject: Subject, golden: Golden) -> None:
    actual = subject.transform_adjoint(golden.gy, golden.case.plan)
    _assert_near(actual, golden.gx, golden.tolerance)


def test_windows_are_the_published_ones(subject: Subject, golden: Golden) -> None:
    expected = np.moveaxis(golden.y, (3, 4), (1, 2)).reshape(-1, *golden.case.plan.window_out)
    actual = subject.windows(golden.x, golden.case.plan, _all_nodes(golden.case))
    _assert_near(actual, expected, golden.tolerance)


def test_adjoint_of_all_windows_is_the_published_one(subject: Subject, golden: Golden) -> None:
    g = np.moveaxis(golden.gy, (3, 4), (1, 2)).reshape(-1, *golden.case.plan.window_out)
    index = _all_nodes(golden.case)
    actual = subject.windows_adjoint(g, golden.case.plan, index, golden.case.batch)
    _assert_near(actual, golden.gx, golden.tolerance)


def test_operator_of_the_papers_is_the_published_one(subject: Subject, golden: Golden) -> None:
    lam, pad = golden.case.units_in.sigma_vu, golden.case.pad_value
    with use_backend(subject.backend.name):
        out = ops.swap_align2nat(subject.array(golden.x), lam, pad_value=pad)
    _assert_near(subject.asnumpy(out), golden.y, golden.tolerance)
