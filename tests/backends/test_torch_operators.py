"""The operators in torch's registry: derivatives, batching, autocast and torch's own checks."""

from __future__ import annotations

from typing import Any

import pytest

from tensormask_core import Aligned, get_backend, ops

torch = pytest.importorskip("torch")

TORCH = get_backend("torch")
OPS = torch.ops.tensormask
INDEX = torch.tensor([[0, 0, 1], [1, 1, 0], [1, -1, 2], [0, 0, 1]])
SWAP = ([1, 2, 2, 1, 1, 1], "bilinear", "pad")
GENERAL = ([2, 3, 3, 2, -4, 3], "bilinear", "edge")  # no ratio is whole: windows have phases


def seeded(*shape: Any, dtype: Any = torch.float64, grad: Any = True) -> Any:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_(grad)


CALLS = {
    "transform": lambda settings: (seeded(2, 2, 4, 3, 5), [4, 8, 2, 3], *settings, -6.0),
    "transform_adjoint": lambda settings: (seeded(2, 4, 8, 2, 3), [2, 4, 3, 5], *settings),
    "windows": lambda settings: (seeded(2, 2, 4, 3, 5), INDEX, [4, 8], *settings, -6.0),
    "windows_adjoint": lambda settings: (seeded(4, 4, 8), INDEX, [2, 2, 4, 3, 5], *settings),
}
parametrize_calls = pytest.mark.parametrize("name", CALLS)
parametrize_settings = pytest.mark.parametrize("settings", [SWAP, GENERAL], ids=["swap", "general"])


@parametrize_calls
def test_passes_the_checks_of_torch(name: Any) -> None:
    torch.library.opcheck(getattr(OPS, name).default, CALLS[name](SWAP))


@parametrize_calls
@parametrize_settings
def test_first_derivatives_are_right(name: Any, settings: Any) -> None:
    x, *rest = CALLS[name](settings)
    assert torch.autograd.gradcheck(lambda x: getattr(OPS, name)(x, *rest), x)


@parametrize_calls
def test_second_derivatives_are_right(name: Any) -> None:
    x, *rest = CALLS[name](SWAP)
    assert torch.autograd.gradgradcheck(lambda x: getattr(OPS, name)(x, *rest) ** 2, x)


@pytest.mark.parametrize("in_dim", [0, 2, -1])
def test_vmap_of_the_dense_operator_is_a_loop(in_dim: Any) -> None:
    x = seeded(2, 3, 2, 4, 5, 3, grad=False)
    mapped = torch.vmap(lambda x: ops.swap_align2nat(x, 2, pad_value=-6.0), in_dim)(x)
    loop = [ops.swap_align2nat(part, 2, pad_value=-6.0) for part in x.unbind(in_dim)]
    torch.testing.assert_close(mapped, torch.stack(loop))


@pytest.mark.parametrize("in_dims", [(0, 0), (3, None), (None, 1), (0, 2)])
def test_vmap_of_the_windows_is_a_loop(in_dims: Any) -> None:
    batched = [0 if dim is None else dim for dim in in_dims]
    x = seeded(3, 2, 3, 2, 6, 5, grad=False).movedim(0, batched[0])
    index = torch.stack((INDEX, INDEX.flip(0), INDEX + torch.tensor([0, 1, 0])))
    index = index.movedim(0, batched[1])
    if in_dims[0] is None:
        x = x[0]
    if in_dims[1] is None:
        index = index[0]

    def at(x: Any, index: Any) -> Any:
        return ops.swap_align2nat_at(x, index, 2, pad_value=-6.0)

    def part(array: Any, dim: Any, i: Any) -> Any:
        return array if dim is None else array.select(dim, i)

    loop = [at(part(x, in_dims[0], i), part(index, in_dims[1], i)) for i in range(3)]
    torch.testing.assert_close(torch.vmap(at, in_dims)(x, index), torch.stack(loop))


@parametrize_calls
def test_vectorised_jacobians_are_a_loop(name: Any) -> None:
    x, *rest = CALLS[name](SWAP)

    def jacobian(vectorize: bool) -> Any:
        call = getattr(OPS, name)
        return torch.autograd.functional.jacobian(lambda x: call(x, *rest), x, vectorize=vectorize)

    torch.testing.assert_close(jacobian(True), jacobian(False))


@pytest.mark.parametrize("beyond", [-1, 2])
def test_vmap_does_not_reach_into_the_next_batch(beyond: Any) -> None:
    x = seeded(3, 2, 3, 2, 6, 5, grad=False)
    index = torch.tensor([[[0, 0, 0]], [[beyond, 0, 0]], [[0, 0, 0]]])
    with pytest.raises(IndexError):
        torch.vmap(lambda x, index: ops.swap_align2nat_at(x, index, 2))(x, index)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_keeps_the_dtype_and_the_result(dtype: Any) -> None:
    x = seeded(2, 3, 2, 6, 5, dtype=dtype, grad=False)
    expected = ops.swap_align2nat_at(x, INDEX, 2, pad_value=-6.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = ops.swap_align2nat_at(x, INDEX, 2, pad_value=-6.0)
    assert out.dtype == dtype
    assert torch.equal(out, expected)


def test_half_precision_is_accumulated_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tensormask_torch._sparse._GROUP_SAMPLES", 1)
    index = torch.zeros(600, 3, dtype=torch.int64)  # 600 times the same window
    x = torch.zeros(1, 1, 1, 1, 1, dtype=torch.bfloat16, requires_grad=True)
    ops.swap_align2nat_at(x, index, 1).sum().backward()
    assert x.grad.item() == 600  # in bfloat16, ones add up to 256


def test_gradients_are_bit_identical_twice() -> None:
    x = seeded(2, 9, 9, 16, 16, dtype=torch.float32)
    index = torch.randint(0, 2, (50, 3), generator=torch.Generator().manual_seed(0))
    first, second = (
        torch.autograd.grad(ops.swap_align2nat_at(x, index, 8).square().sum(), x)[0] for _ in "12"
    )
    assert torch.equal(first, second)


def test_mask_tensors_are_pytrees() -> None:
    masks = Aligned(torch.ones(3, 3, 4, 4), sigma_vu=8, sigma_hw=4).align2nat()
    doubled = torch.utils._pytree.tree_map(lambda x: 2 * x, {"masks": masks})["masks"]
    assert type(doubled) is type(masks)
    assert doubled.units == masks.units
    assert torch.equal(doubled.data, 2 * masks.data)
