"""Which calls need no operator, so that compiled kernels are called without the dispatcher.

An operator that is defined in Python costs what copying some hundred windows does.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad


def _private(name: str) -> Callable[[], Any]:
    """Return a private function of torch, or one that is always true if torch has it no more."""
    try:
        function: Callable[[], Any] = attrgetter(name)(torch._C)
    except AttributeError:
        return lambda: True
    return function


# Torch has no public way to ask for these: batching, dispatch and function modes, tracing.
_WATCHES = tuple(
    _private(name)
    for name in (
        "_functorch.peek_interpreter_stack",
        "_len_torch_dispatch_stack",
        "_len_torch_function_stack",
        "_get_tracing_state",
    )
)


def is_eager(*tensors: Tensor) -> bool:
    """Return whether tensors are plain memory, and nothing looks at what is done to them.

    False for subclasses, for gradients of either direction, and wherever something traces, batches
    or intercepts operators.
    """
    return not (
        torch.compiler.is_compiling()
        or any(watch() for watch in _WATCHES)
        or getattr(forward_ad, "_current_level", 0) >= 0
        or any(type(tensor) not in (Tensor, torch.nn.Parameter) for tensor in tensors)
        or (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors))
    )
