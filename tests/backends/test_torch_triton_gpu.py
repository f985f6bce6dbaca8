"""The torch backend on a CUDA device: the suite, and what devices, streams and graphs ask for."""

from __future__ import annotations

from typing import Any

import pytest

from tensormask_core import ops
from tensormask_core.testing import conformance_suite, require
from tensormask_core.testing.arrays import torch_array
from tensormask_core.testing.checks import CHECKS

BACKEND = require("torch")

import torch  # noqa: E402  (once it is known to be there)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

# A batch out of range is seen without waiting for the device as NaN, not as an IndexError.
ON_CUDA = [name for name in CHECKS if name != "batch_out_of_range_is_an_error"]
INDEX = [[0, 0, 1], [1, 1, 0], [1, -1, 9], [0, 0, 1]]
SWAP = ([1, 2, 2, 1, 1, 1], "bilinear", "pad")
CALLS: dict[str, Any] = {
    "transform": lambda: (cuda(2, 2, 4, 3, 5), [4, 8, 2, 3], *SWAP, -6.0),
    "transform_adjoint": lambda: (cuda(2, 4, 8, 2, 3), [2, 4, 3, 5], *SWAP),
    "windows": lambda: (cuda(2, 2, 4, 3, 5), index(), [4, 8], *SWAP, -6.0),
    "windows_adjoint": lambda: (cuda(4, 4, 8), index(), [2, 2, 4, 3, 5], *SWAP),
}


def on_device(values: Any, dtype: str) -> Any:
    return torch_array(values, dtype).cuda()


TestCuda = conformance_suite(
    BACKEND, dtypes=("float32", "float64"), asarray=on_device, checks=ON_CUDA, max_examples=20
)
TestCudaHalf = conformance_suite(
    BACKEND, dtypes=("float16", "bfloat16"), asarray=on_device, checks=ON_CUDA, max_examples=5
)


def cuda(*shape: Any, dtype: Any = torch.float64) -> Any:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=generator, dtype=dtype).cuda().requires_grad_()


def index() -> Any:
    return torch.tensor(INDEX, device="cuda")


def swap(x: Any) -> Any:
    return ops.swap_align2nat(x, 4, pad_value=-6.0)


@pytest.mark.parametrize("lam", [1, 2, 8, 32])
@pytest.mark.parametrize("name", ["transform", "transform_adjoint"])
def test_real_extents_agree_with_the_cpu(lam: int, name: str) -> None:
    x = torch.randn(1, 15, 15, 100, 152, generator=torch.Generator().manual_seed(0))
    call = getattr(torch.ops.tensormask, name)
    shape = [15 * lam, 15 * lam, -(-100 // lam), -(-152 // lam)]
    settings = ([1, lam, lam, 1, 1, 1], "bilinear", "pad")
    if name == "transform":
        arguments = (shape, *settings, -6.0)
    else:
        x, arguments = torch.randn(1, *shape), ([15, 15, 100, 152], *settings)
    torch.testing.assert_close(call(x.cuda(), *arguments).cpu(), call(x, *arguments))


@pytest.mark.parametrize("name", CALLS)
def test_passes_the_checks_of_torch(name: str) -> None:
    torch.library.opcheck(getattr(torch.ops.tensormask, name).default, CALLS[name]())


@pytest.mark.parametrize("name", CALLS)
def test_first_derivatives_are_right(name: str) -> None:
    x, *rest = CALLS[name]()
    call = getattr(torch.ops.tensormask, name)
    assert torch.autograd.gradcheck(lambda x: call(x, *rest), x)


def test_compiles_as_one_graph() -> None:
    x = cuda(2, 4, 6, 9, 11, dtype=torch.float32).detach()
    assert torch.equal(torch.compile(swap, fullgraph=True)(x), swap(x))


@pytest.mark.parametrize("name", CALLS)
def test_calls_replay_from_a_cuda_graph(name: str) -> None:
    x, *rest = CALLS[name]()
    x, call = x.detach(), getattr(torch.ops.tensormask, name)
    call(x, *rest)  # compiles, and puts the tables on the device
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = call(x, *rest)
    x.mul_(-2)
    graph.replay()
    assert torch.equal(out, call(x, *rest))


@pytest.mark.parametrize("name", CALLS)
def test_calls_follow_the_current_stream(name: str) -> None:
    x, *rest = CALLS[name]()
    x, call = x.detach(), getattr(torch.ops.tensormask, name)
    expected = call(2 * x, *rest)
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        torch.cuda._sleep(10**7)
        got = call(x.mul_(2), *rest)
    torch.cuda.synchronize()
    assert torch.equal(got, expected)


@pytest.mark.parametrize("name", CALLS)
def test_calls_do_not_wait_for_the_device(name: str) -> None:
    x, *rest = CALLS[name]()
    call = getattr(torch.ops.tensormask, name)
    call(x, *rest)
    torch.cuda.set_sync_debug_mode("error")
    try:
        call(x, *rest)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("lam", [1, 8])
def test_gradients_are_bit_identical_twice(lam: int) -> None:
    x = cuda(2, 9, 9, 64, 64, dtype=torch.float32)
    at = torch.randint(0, 2, (500, 3), generator=torch.Generator().manual_seed(0)).cuda()
    first, second = (
        torch.autograd.grad(ops.swap_align2nat_at(x, at, lam).square().sum(), x)[0] for _ in "12"
    )
    assert torch.equal(first, second)


def test_arrays_beyond_2_to_the_31_elements_are_right() -> None:
    x = torch.zeros(3, 15, 15, 1200, 2700, dtype=torch.float16, device="cuda")
    x[2] = torch.randn(15, 15, 1200, 2700, generator=torch.Generator().manual_seed(0)).half().cuda()
    assert x.numel() > 2**31
    assert torch.equal(swap(x)[2], swap(x[2]))
