"""The torch backend against the numpy backend, and how it treats tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tensormask_core import Units, backend_of, get_backend, ops
from tensormask_core.testing import Case, assert_close, cases

torch = pytest.importorskip("torch")

NUMPY, TORCH = get_backend("numpy"), get_backend("torch")
DTYPES = ("float16", "bfloat16", "float32", "float64")
INDEX = torch.tensor([[0, 0, 1], [1, 1, 0], [1, -1, 9], [0, 0, 1]])


def seeded(*shape: Any, dtype: Any = torch.float32) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(dtype)


def assert_agrees(ours: Any, theirs: Any, dtype: Any, scale: Any = 8.0) -> None:
    assert ours.dtype == getattr(torch, dtype)
    assert_close(ours.double().numpy(), theirs, dtype, scale=scale)


@given(case=cases(smallest=0), dtype=st.sampled_from(DTYPES))
def test_dense_agrees_with_numpy(case: Case, dtype: str) -> None:
    x = torch.tensor(case.x()).to(getattr(torch, dtype))
    assert_agrees(
        TORCH.transform(x, case.plan), NUMPY.transform(x.double().numpy(), case.plan), dtype
    )


@given(case=cases(smallest=0), dtype=st.sampled_from(DTYPES))
def test_dense_adjoint_agrees_with_numpy(case: Case, dtype: str) -> None:
    g = torch.tensor(case.g()).to(getattr(torch, dtype))
    expected = NUMPY.transform_adjoint(g.double().numpy(), case.plan)
    assert_agrees(TORCH.transform_adjoint(g, case.plan), expected, dtype, scale=40.0)


@given(case=cases(smallest=0), dtype=st.sampled_from(DTYPES))
def test_windows_agree_with_numpy(case: Case, dtype: str) -> None:
    x, index = torch.tensor(case.x()).to(getattr(torch, dtype)), case.index()
    expected = NUMPY.windows(x.double().numpy(), case.plan, index)
    assert_agrees(TORCH.windows(x, case.plan, torch.tensor(index)), expected, dtype)


@given(case=cases(smallest=0), dtype=st.sampled_from(DTYPES))
def test_windows_adjoint_agrees_with_numpy(case: Case, dtype: str) -> None:
    index = case.index()
    g = torch.tensor(case.values((len(index), *case.plan.window_out)))
    g = g.to(getattr(torch, dtype))
    expected = NUMPY.windows_adjoint(g.double().numpy(), case.plan, index, case.batch)
    got = TORCH.windows_adjoint(g, case.plan, torch.tensor(index), case.batch)
    assert_agrees(got, expected, dtype, scale=100.0)


def test_windows_of_many_groups_agree_with_one(monkeypatch: Any) -> None:
    x = seeded(2, 3, 5, 9, 7)
    whole = ops.swap_align2nat_at(x, INDEX, 2, pad_value=-6.0)
    monkeypatch.setattr("tensormask_torch._sparse._GROUP_SAMPLES", 1)
    torch.testing.assert_close(ops.swap_align2nat_at(x, INDEX, 2, pad_value=-6.0), whole)


def test_gradients_of_many_groups_agree_with_one(monkeypatch: Any) -> None:
    g = seeded(4, 6, 10, dtype=torch.float64)
    plan = Case((3, 5), (9, 7), Units(2, 1), Units(1, 2)).plan
    whole = TORCH.windows_adjoint(g, plan, INDEX, 2)
    monkeypatch.setattr("tensormask_torch._sparse._GROUP_SAMPLES", 1)
    torch.testing.assert_close(TORCH.windows_adjoint(g, plan, INDEX, 2), whole)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_any_batch_axes_are_kept(batch: Any) -> None:
    x = seeded(*batch, 3, 2, 8, 6)
    out = ops.swap_align2nat(x, 2, pad_value=-6.0)
    expected = ops.swap_align2nat(x.numpy(), 2, pad_value=-6.0)
    np.testing.assert_allclose(out.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_windows_find_their_batch(batch: Any) -> None:
    x = seeded(*batch, 3, 2, 8, 6)
    index = torch.tensor([[0] * len(batch) + [1, 2], [1] * len(batch) + [-1, 0]])
    out = ops.swap_align2nat_at(x, index, 2, pad_value=-6.0)
    expected = ops.swap_align2nat_at(x.numpy(), index.numpy(), 2, pad_value=-6.0)
    np.testing.assert_allclose(out.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    "layout",
    [
        lambda x: x.to(memory_format=torch.channels_last_3d),
        lambda x: x.transpose(1, 4).contiguous().transpose(1, 4),
        lambda x: torch.stack((x, x), -1)[..., 0],
        lambda x: x.flip(0).flip(0).expand_as(x),
    ],
)
def test_strides_do_not_matter(layout: Any) -> None:
    x = seeded(2, 3, 2, 8, 6)
    assert torch.equal(ops.swap_align2nat(layout(x), 2), ops.swap_align2nat(x, 2))
    assert torch.equal(
        ops.swap_align2nat_at(layout(x), INDEX, 2), ops.swap_align2nat_at(x, INDEX, 2)
    )


def test_results_are_contiguous() -> None:
    x = seeded(2, 3, 2, 8, 6)
    assert ops.swap_align2nat(x, 2).is_contiguous()
    assert ops.swap_align2nat_at(x, INDEX, 2).is_contiguous()


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.uint8])
def test_index_may_be_any_integer(dtype: Any) -> None:
    x, index = seeded(2, 3, 2, 8, 6), INDEX.clamp(min=0)
    out = ops.swap_align2nat_at(x, index.to(dtype), 2)
    assert torch.equal(out, ops.swap_align2nat_at(x, index, 2))


@pytest.mark.parametrize("batch", [-1, 2])
def test_a_batch_index_out_of_range_is_an_error(batch: Any) -> None:
    index = torch.tensor([[0, 0, 0], [batch, 0, 0]])
    with pytest.raises(IndexError, match=rf"\[0, 2\), got {batch}"):
        ops.swap_align2nat_at(seeded(2, 3, 2, 8, 6), index, 2)


def test_torch_tensors_and_parameters_are_claimed() -> None:
    assert backend_of(torch.zeros(1)) is TORCH
    assert backend_of(torch.nn.Parameter(torch.zeros(1))) is TORCH
