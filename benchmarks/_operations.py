"""Multiply-adds and bytes of calls, counted from the operations that torch dispatches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from _harness import Case, Contender, Row, compare
from _measure import host_seconds
from _results import Options
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


class _Bytes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types here
    """Adds up the bytes of all tensors that operations read and write, views apart."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.total = 0

    def __torch_dispatch__(
        self, operation: Any, _: Any, arguments: Any = (), named: Any = None
    ) -> Any:
        result = operation(*arguments, **(named or {}))
        if not operation.is_view:
            for leaf in tree_leaves((arguments, named, result)):
                self.total += leaf.nbytes if isinstance(leaf, Tensor) else 0
        return result


def operations_of(call: Callable[[], object]) -> dict[str, int]:
    """Return ``macs``, of convolutions and matrix products, and ``moved_bytes`` of one call.

    Bytes are those that would move if every operation read its inputs and wrote its outputs from
    and to memory: no cache, no fusion.
    """
    flops, moved = FlopCounterMode(display=False), _Bytes()
    with flops, moved:
        call()
    return {"macs": flops.get_total_flops() // 2, "moved_bytes": moved.total}


def compare_and_count(case: Case, contenders: Sequence[Contender], options: Options) -> list[Row]:
    """Measure all contenders of a case by the clock of the host, and count their operations."""
    ready = [replace(c, call=_until_done(c.call, options.device)) for c in contenders]
    rows = compare(case, ready, options.repeats, host_seconds, options.peak_bytes)
    return [row | operations_of(c.call) for row, c in zip(rows, contenders, strict=True)]


def _until_done(call: Callable[[], object], device: str) -> Callable[[], object]:
    """Return a call that ends when the device has: detection goes back and forth to the host."""
    if device == "cpu":
        return call

    def synchronised() -> object:
        result = call()
        torch.cuda.synchronize()
        return result

    return synchronised
