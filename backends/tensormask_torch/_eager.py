"""Which calls need no operator, so that compiled kernels are called without the dispatcher.

An operator that is defined in Python costs what copying some hundred windows does.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad


def is_eager(*tensors: Tensor) -> bool:
    """Return whether tensors are plain memory, and nothing looks at what is done to them.

    False for subclasses, for gradients of either direction, and wherever something traces, batches
    or intercepts operators; torch has no public way to ask for most of it.
    """
    return not (
        torch.compiler.is_compiling()
        or torch._C._functorch.peek_interpreter_stack() is not None
        or torch._C._len_torch_dispatch_stack()
        or torch._C._len_torch_function_stack()
        or torch._C._get_tracing_state() is not None
        or forward_ad._current_level >= 0
        or any(type(tensor) not in (Tensor, torch.nn.Parameter) for tensor in tensors)
        or (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors))
    )
