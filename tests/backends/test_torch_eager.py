"""Calls that nothing looks at go past the dispatcher; all others are seen as operators."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import BaseTorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tensormask_core import ops
from tensormask_core.testing import require
from tensormask_torch._eager import _private, is_eager

require("numba")

INDEX = torch.tensor([[0, 0, 1], [1, 1, 0], [1, -1, 2]])


class Names(TorchDispatchMode):
    """Keeps the names of the operators that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.add(str(func))
        return func(*args, **(kwargs or {}))


def maps() -> Tensor:
    return torch.randn(2, 3, 2, 8, 6, generator=torch.Generator().manual_seed(0))


def both_forms(x: Tensor) -> tuple[Tensor, Tensor]:
    return ops.swap_align2nat(x, 2), ops.swap_align2nat_at(x, INDEX, 2)


def test_plain_tensors_need_no_operator() -> None:
    with mock.patch("tensormask_torch._ops.windows") as operator:
        ops.swap_align2nat_at(maps(), INDEX, 2)
    assert not operator.called


def test_results_are_the_operators() -> None:
    expected = both_forms(maps().requires_grad_())
    for out, other in zip(both_forms(maps()), expected, strict=True):
        assert torch.equal(out, other)
        assert out.dtype == other.dtype


def test_modes_see_the_operators() -> None:
    with Names() as names:
        both_forms(maps())
    assert {"tensormask.transform.default", "tensormask.windows.default"} <= names.seen


@pytest.mark.parametrize("mode", [Names, BaseTorchFunctionMode, forward_ad.dual_level])
def test_no_call_is_eager_within_a_mode(mode: Callable[[], AbstractContextManager[Any]]) -> None:
    with mode():
        assert not is_eager(maps())
    assert is_eager(maps())


def test_subclasses_are_not_eager() -> None:
    assert not is_eager(maps().as_subclass(type("Other", (Tensor,), {})))


def test_what_is_batched_is_not_eager() -> None:
    found: list[bool] = []
    torch.vmap(lambda x: found.append(is_eager(x)) or x)(maps())
    assert found == [False]


@pytest.mark.parametrize(
    ("guard", "eager"), [(nullcontext, False), (torch.no_grad, True), (torch.inference_mode, True)]
)
def test_gradients_that_are_wanted_are_not_lost(
    guard: Callable[[], AbstractContextManager[Any]], eager: bool
) -> None:
    x = maps().requires_grad_()
    with guard():
        assert is_eager(x) == eager
        assert both_forms(x)[1].requires_grad != eager


def test_what_torch_has_no_more_counts_as_watching() -> None:
    assert _private("_a_function_of_older_releases")()
