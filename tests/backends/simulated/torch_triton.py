"""The Triton kernels, interpreted; a process of its own runs this, see test_torch_triton.

The interpreter is chosen by TRITON_INTERPRET=1 before triton is imported. Kernels then take CPU
tensors, so what a CUDA tensor would reach is called by name here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import triton

from tensormask_core import get_backend
from tensormask_core.plan import Plan
from tensormask_core.testing import Case, conformance_suite
from tensormask_core.testing.checks import CHECKS, HALF
from tensormask_core.units import Units
from tensormask_torch import _ops, _triton_dense, _triton_sparse, _triton_tables, _triton_tiles

AGREEMENT = [
    "transform_matches_oracle",
    "adjoint_matches_oracle",
    "windows_match_oracle",
    "windows_adjoint_matches_oracle",
    "infinite_padding_stays_outside",
]
OF_HALF = [*AGREEMENT, *(name for name in CHECKS if CHECKS[name].dtypes == HALF)]
QUICK_OF_HALF = [name for name in OF_HALF if name != "half_sums_windows_in_float32"]
SWAP = Case((3, 5), (9, 7), Units(2, 1), Units(1, 2), pad_value=-6.0, batch=2)
INDEX = torch.tensor([[0, 0, 1], [1, 1, 0], [1, -1, 9], [0, 0, 1]])
NUMPY = get_backend("numpy")


class Interpreted:
    """What the operators do with CUDA tensors, on CPU tensors."""

    name = "torch"
    transform = staticmethod(_triton_dense.transform)
    transform_adjoint = staticmethod(_triton_dense.transform_adjoint)

    def windows(self, x: Any, plan: Plan, index: Any) -> Any:
        _ops._check_batch(index, x.shape[0])
        return _triton_sparse.windows(x, plan, index)

    def windows_adjoint(self, g: Any, plan: Plan, index: Any, batch: int) -> Any:
        _ops._check_batch(index, batch)
        return _triton_sparse.windows_adjoint(g, plan, index, batch)


BACKEND = Interpreted()


def suite(dtype: str, **options: Any) -> type:
    return conformance_suite(BACKEND, dtypes=(dtype,), **{"max_examples": 3, **options})


TestFloat32 = suite("float32")
TestFloat64 = suite("float64", checks=AGREEMENT, max_examples=12)
TestFloat16 = suite("float16", checks=OF_HALF)
TestBfloat16 = suite("bfloat16", checks=QUICK_OF_HALF)


def seeded(*shape: Any, dtype: Any = torch.float64) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def assert_same(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-11)


def test_kernels_are_interpreted() -> None:
    assert triton.knobs.runtime.interpret


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> Any:
    _triton_tables.dense_tables.cache_clear()
    monkeypatch.setattr(_triton_tiles, "_LARGEST_GATHER", 128)
    yield
    _triton_tables.dense_tables.cache_clear()


@pytest.mark.usefixtures("small_tiles")
def test_many_tiles_agree_with_numpy() -> None:
    x, g = seeded(2, *SWAP.plan.shape_in), seeded(2, *SWAP.plan.shape_out)
    assert_same(BACKEND.transform(x, SWAP.plan), NUMPY.transform(x.numpy(), SWAP.plan))
    adjoint = NUMPY.transform_adjoint(g.numpy(), SWAP.plan)
    assert_same(BACKEND.transform_adjoint(g, SWAP.plan), adjoint)


@pytest.mark.usefixtures("small_tiles")
def test_many_row_taps_agree_with_numpy() -> None:
    plan = SWAP.but(units_out=Units(0.25, 1), grid=(3, 4), direction=0).plan
    g = seeded(1, *plan.shape_out)  # a sample is read by up to 16 rows of the output
    assert_same(BACKEND.transform_adjoint(g, plan), NUMPY.transform_adjoint(g.numpy(), plan))


@pytest.mark.parametrize("programs", [1, 10**6])
def test_rows_may_be_shared_out_to_few_programs_or_many(monkeypatch: Any, programs: int) -> None:
    monkeypatch.setattr(_triton_dense, "_PROGRAMS", programs)
    x = seeded(2, *SWAP.plan.shape_in)
    assert_same(BACKEND.transform(x, SWAP.plan), NUMPY.transform(x.numpy(), SWAP.plan))


@pytest.mark.parametrize(
    "layout",
    [
        lambda x: x.to(memory_format=torch.channels_last_3d),
        lambda x: x.transpose(1, 4).contiguous().transpose(1, 4),
        lambda x: x[:1].expand_as(x),
    ],
)
def test_strides_are_read_without_a_copy(layout: Any) -> None:
    x = layout(seeded(2, *SWAP.plan.shape_in))
    copy = x.contiguous().numpy()
    assert_same(BACKEND.transform(x, SWAP.plan), NUMPY.transform(copy, SWAP.plan))
    at = NUMPY.windows(copy, SWAP.plan, INDEX.numpy())
    assert_same(BACKEND.windows(x, SWAP.plan, INDEX), at)


def test_gradients_and_indices_may_be_strided() -> None:
    g, wide = seeded(1, 1, 1).expand(4, *SWAP.plan.window_out), INDEX.repeat_interleave(2, 1)
    got = BACKEND.windows_adjoint(g, SWAP.plan, wide[:, ::2], 2)
    assert_same(got, NUMPY.windows_adjoint(g.numpy(), SWAP.plan, INDEX.numpy(), 2))


def test_images_beyond_2_to_the_31_elements_are_found() -> None:
    plan = SWAP.plan
    storage = torch.empty(2**31 + 10_000, dtype=torch.float16)  # only pages that are touched exist
    strides = (2**30 + 1000, *torch.empty(plan.shape_in).stride())
    x = storage.as_strided((3, *plan.shape_in), strides)
    x.copy_(seeded(3, *plan.shape_in))
    far = x.double().contiguous().numpy()
    torch.testing.assert_close(
        BACKEND.transform(x, plan).double().numpy(),
        NUMPY.transform(far, plan),
        rtol=2e-3,
        atol=0.01,
    )
    index = INDEX + torch.tensor([1, 0, 0])
    at = NUMPY.windows(far, plan, index.numpy())
    torch.testing.assert_close(
        BACKEND.windows(x, plan, index).double().numpy(), at, rtol=2e-3, atol=0.01
    )


def test_columns_beyond_2_to_the_31_elements_are_found() -> None:
    plan = SWAP.but(window=(2, 2), grid=(2, 2)).plan
    storage = torch.empty(2**31 + 100, dtype=torch.float16)
    x = storage.as_strided((1, 2, 2, 2, 2), (0, 2, 2**31, 4, 1))
    x.copy_(seeded(1, 2, 2, 2, 2))
    far = NUMPY.transform(x.double().contiguous().numpy(), plan)
    np.testing.assert_allclose(
        BACKEND.transform(x, plan).double().numpy(), far, rtol=2e-3, atol=0.01
    )


def test_infinite_samples_are_weighed_where_they_are_read() -> None:
    x = torch.full((1, *SWAP.plan.shape_in), float("-inf"))
    expected = NUMPY.transform(torch.ones_like(x).numpy(), SWAP.but(pad_value=0.0).plan) > 0
    assert (BACKEND.transform(x, SWAP.plan).isneginf().numpy() == expected).all()
    assert not BACKEND.windows(x, SWAP.plan, INDEX[:1]).isnan().any()


def test_planes_of_many_tiles_agree_with_numpy() -> None:
    plan = SWAP.but(window=(2, 2), grid=(40, 140)).plan
    y, x = torch.arange(20), torch.arange(0, 70, 3)[:20]
    index = torch.stack((y % 2, y, x), 1)
    g = seeded(20, *plan.window_out)
    got = BACKEND.windows_adjoint(g, plan, index, 2)
    assert_same(got, NUMPY.windows_adjoint(g.numpy(), plan, index.numpy(), 2))


def test_a_batch_out_of_range_is_nan_and_has_no_gradient() -> None:
    x, index = seeded(2, *SWAP.plan.shape_in), INDEX.clone()
    index[1, 0], index[2, 0] = 2, -1
    out = _triton_sparse.windows(x, SWAP.plan, index)
    assert out.isnan().all((1, 2)).tolist() == [False, True, True, False]
    ones = torch.ones(4, *SWAP.plan.window_out)
    got = _triton_sparse.windows_adjoint(ones, SWAP.plan, index, 2)
    expected = _triton_sparse.windows_adjoint(ones[:2], SWAP.plan, index[[0, 3]], 2)
    assert torch.equal(got, expected)


def test_no_index_of_a_window_is_too_large() -> None:
    far = torch.tensor([[0, 2**40, -(2**40)], [1, 0, 2**40]])
    x = seeded(2, *SWAP.plan.shape_in)
    assert (BACKEND.windows(x, SWAP.plan, far) == -6).all()
    g = seeded(2, *SWAP.plan.window_out)
    assert not BACKEND.windows_adjoint(g, SWAP.plan, far, 2).any()


def test_windows_of_one_tile_are_summed_in_the_order_of_the_index() -> None:
    plan = Case((1, 1), (4, 4), Units(1, 1), Units(1, 1)).plan
    g = torch.tensor([1e8, 1.0, -1e8]).view(3, 1, 1)
    index = torch.zeros(3, 3, dtype=torch.int64)
    assert BACKEND.windows_adjoint(g, plan, index, 1)[0, 0, 0, 0, 0] == 0
    assert BACKEND.windows_adjoint(g[[0, 2, 1]], plan, index, 1)[0, 0, 0, 0, 0] == 1
