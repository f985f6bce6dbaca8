"""The torch backend's own operations, which serve CPU tensors where numba is not installed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from tensormask_core.testing import conformance_suite
from tensormask_core.testing.arrays import torch_array
from tensormask_torch import _compiled, _dense, _ops, _sparse

# The operators check the batch index before they come here.
COMPOSITE = SimpleNamespace(
    name="composite",
    transform=_dense.transform,
    transform_adjoint=_dense.transform_adjoint,
    windows=_sparse.windows,
    windows_adjoint=_sparse.windows_adjoint,
)
GAPS = {"batch_out_of_range_is_an_error": "the operators check it before"}

TestComposite = conformance_suite(
    COMPOSITE, dtypes=("float32", "float64"), asarray=torch_array, known_gaps=GAPS
)
TestCompositeHalf = conformance_suite(
    COMPOSITE, dtypes=("float16", "bfloat16"), asarray=torch_array, known_gaps=GAPS, max_examples=5
)


@pytest.mark.parametrize(
    ("installed", "kernels"),
    [({"numba"}, (_compiled, _compiled)), (set(), (_dense, _sparse))],
    ids=["numba", "nothing"],
)
def test_cpu_tensors_use_what_is_installed(
    installed: set[str], kernels: tuple[object, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ops, "_installed", installed.__contains__)
    assert _ops.kernels(torch.zeros(1)) == kernels
