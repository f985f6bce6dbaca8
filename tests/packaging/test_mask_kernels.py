"""The compiled kernels for masks are announced, and what is announced can be loaded."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from tensormask_core.masks._kernels import PASTE, RLE
from tensormask_core.testing import require

require("numba")
require("torch")


@pytest.mark.parametrize(
    ("group", "array_types"),
    [(PASTE, {"numpy.ndarray", "torch.Tensor"}), (RLE, {"numpy.ndarray"})],
)
def test_each_array_type_has_a_kernel_that_loads(group: str, array_types: set[str]) -> None:
    kernels = {point.name: point.load() for point in entry_points(group=group)}
    assert kernels.keys() >= array_types
    assert all(map(callable, kernels.values()))
