"""From units to operators under torch.compile and torch.export."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tensormask_core import Aligned, get_backend, ops

torch = pytest.importorskip("torch")

from tensormask_torch import nn  # noqa: E402  (needs torch)

INDEX = torch.tensor([[0, 0, 1], [1, 1, 0], [1, -1, 2], [0, 0, 1]])
FUNCTIONS = {
    "swap": lambda x: ops.swap_align2nat(x, 4, pad_value=-6.0),
    "swap_at": lambda x: ops.swap_align2nat_at(x, INDEX, 2, pad_value=-6.0),
    "fractional": lambda x: ops.up_bilinear(x, 1.5),
    "natural": lambda x: Aligned(x, sigma_vu=32, sigma_hw=4).natural(sigma_vu=8, sigma_hw=16).data,
    "windows": lambda x: Aligned(x, sigma_vu=32, sigma_hw=4).windows(INDEX, sigma_vu=4),
}
MODULES = (nn.Align2Nat(0.5), nn.UpAlign2Nat(1.5, mode="nearest"), nn.SwapAlign2Nat(4))


@pytest.fixture(autouse=True)
def forget_graphs() -> None:
    torch._dynamo.reset()


def seeded(*shape: Any) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def compiled(function: Any, dynamic: Any) -> Any:
    return torch.compile(function, fullgraph=True, dynamic=dynamic, backend="aot_eager")


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_compiles_as_one_graph(name: Any, dynamic: Any) -> None:
    x = seeded(2, 4, 6, 9, 11)
    assert torch.equal(compiled(FUNCTIONS[name], dynamic)(x), FUNCTIONS[name](x))


@pytest.mark.parametrize("name", ["swap", "windows"])
def test_compiled_gradients_are_the_same(name: Any) -> None:
    x, y = seeded(2, 4, 6, 9, 11).requires_grad_(), seeded(2, 4, 6, 9, 11).requires_grad_()
    compiled(FUNCTIONS[name], True)(x).square().sum().backward()
    FUNCTIONS[name](y).square().sum().backward()
    assert torch.equal(x.grad, y.grad)


def test_one_graph_serves_all_shapes() -> None:
    swap = compiled(FUNCTIONS["swap"], True)
    swap(seeded(2, 4, 6, 9, 11))
    with torch._dynamo.config.patch(error_on_recompile=True):
        for shape in ((3, 5, 7, 16, 13), (7, 6, 5, 10, 20)):
            assert torch.equal(swap(seeded(*shape)), FUNCTIONS["swap"](seeded(*shape)))


def test_one_graph_serves_any_number_of_windows() -> None:
    at = compiled(lambda x, index: ops.swap_align2nat_at(x, index, 4), True)
    x, index = seeded(2, 4, 6, 9, 11), INDEX.repeat(3, 1)
    at(x, index[:5])
    with torch._dynamo.config.patch(error_on_recompile=True):
        for count in (7, 8):
            expected = ops.swap_align2nat_at(x, index[:count], 4)
            assert torch.equal(at(x, index[:count]), expected)


@pytest.mark.parametrize("dynamic", [False, True, None])
def test_the_factor_may_be_an_argument(dynamic: Any) -> None:
    x, swap = seeded(2, 4, 6, 9, 11), compiled(ops.swap_align2nat, dynamic)
    for lam in (2, 4, 1.5, 3.0):
        assert torch.equal(swap(x, lam), ops.swap_align2nat(x, lam))


@pytest.mark.parametrize("dynamic", [False, True, None])
def test_a_mask_tensor_may_be_an_argument_and_a_result(dynamic: Any) -> None:
    align = compiled(lambda masks: masks.align2nat(), dynamic)
    for sigma_vu, sigma_hw in ((8, 4), (8, 2), (6.0, 4.0)):
        masks = Aligned(seeded(2, 4, 6, 9, 11), sigma_vu, sigma_hw)
        natural = align(masks)
        assert torch.equal(natural.data, masks.align2nat().data)
        assert natural.units == masks.units


@pytest.mark.parametrize("module", MODULES, ids=lambda module: type(module).__name__)
def test_modules_export_with_dynamic_batch_and_extent(module: Any) -> None:
    batch, (h, w) = torch.export.Dim("n"), (torch.export.Dim(name, min=5) for name in "hw")
    exported = torch.export.export(
        module, (seeded(2, 4, 6, 9, 11),), dynamic_shapes=({0: batch, 3: h, 4: w},)
    )
    x = seeded(3, 4, 6, 13, 8)
    assert torch.equal(exported.module()(x), module(x))


def test_exported_graphs_hold_one_operator() -> None:
    exported = torch.export.export(nn.SwapAlign2Nat(4), (seeded(2, 4, 6, 9, 11),))
    calls = [node.target for node in exported.graph.nodes if node.op == "call_function"]
    assert calls == [torch.ops.tensormask.transform.default]


def test_the_first_call_ever_may_be_compiled() -> None:
    script = (
        "import tensormask_core, torch\n"
        "f = torch.compile(lambda x: tensormask_core.ops.swap_align2nat(x, 4), fullgraph=True,"
        " backend='eager')\n"
        "print(tuple(f(torch.zeros(2, 3, 3, 8, 8)).shape))"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    assert run.stdout.strip() == "(2, 12, 12, 2, 2)", run.stderr


def test_modules_say_how_they_were_made() -> None:
    assert repr(nn.SwapAlign2Nat(4)) == "SwapAlign2Nat(lam=4, pad_value=-6.0, vu_border='pad')"
    assert repr(nn.Align2Nat(2)) == "Align2Nat(alpha=2, pad_value=0.0)"
    assert "mode='nearest'" in repr(nn.UpAlign2Nat(2, mode="nearest"))


def test_modules_are_their_operators() -> None:
    x = seeded(2, 4, 6, 9, 11)
    border = {"pad_value": 2.0, "vu_border": "edge"}
    assert torch.equal(nn.Align2Nat(2, 1.0)(x), ops.align2nat(x, 2, pad_value=1.0))
    assert torch.equal(nn.SwapAlign2Nat(2, **border)(x), ops.swap_align2nat(x, 2, **border))
    up = nn.UpAlign2Nat(2, mode="nearest", **border)
    assert torch.equal(up(x), ops.up_align2nat(x, 2, mode="nearest", **border))


def test_the_backend_bears_its_name() -> None:
    assert get_backend("torch").name == "torch"
