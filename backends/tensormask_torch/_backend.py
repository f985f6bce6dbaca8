"""The four functions of a backend, as calls of ``torch.ops.tensormask`` or of what is in them."""

from __future__ import annotations

from torch import Tensor

from tensormask_core.plan import Plan
from tensormask_torch import _batching, _compiled, _gradients, _ops
from tensormask_torch._eager import is_eager

_gradients.register()
_batching.register()


class TorchBackend:
    """Transforms torch tensors, traceable and differentiable to any order."""

    name = "torch"

    def transform(self, x: Tensor, plan: Plan) -> Tensor:
        """Return the output (N, *plan.shape_out)."""
        if _needs_no_operator(x):
            return _compiled.transform(x, plan)
        out: Tensor = _ops.transform(
            x, plan.shape_out, _ops.ratios(plan), plan.mode, plan.vu_border, plan.pad_value
        )
        return out

    def transform_adjoint(self, g: Tensor, plan: Plan) -> Tensor:
        """Return the adjoint (N, *plan.shape_in) at ``g`` (N, *plan.shape_out)."""
        if _needs_no_operator(g):
            return _compiled.transform_adjoint(g, plan)
        out: Tensor = _ops.transform_adjoint(
            g, plan.shape_in, _ops.ratios(plan), plan.mode, plan.vu_border
        )
        return out

    def windows(self, x: Tensor, plan: Plan, index: Tensor) -> Tensor:
        """Return the windows (K, *plan.window_out) at ``index`` (K, 3)."""
        if _needs_no_operator(x, index):
            return _compiled.windows(x, plan, index)
        out: Tensor = _ops.windows(
            x, index, plan.window_out, _ops.ratios(plan), plan.mode, plan.vu_border, plan.pad_value
        )
        return out

    def windows_adjoint(self, g: Tensor, plan: Plan, index: Tensor, batch: int) -> Tensor:
        """Return the adjoint (batch, *plan.shape_in) at ``g`` (K, *plan.window_out)."""
        if _needs_no_operator(g, index):
            return _compiled.windows_adjoint(g, plan, index, batch)
        out: Tensor = _ops.windows_adjoint(
            g, index, (batch, *plan.shape_in), _ops.ratios(plan), plan.mode, plan.vu_border
        )
        return out


def _needs_no_operator(*tensors: Tensor) -> bool:
    return is_eager(*tensors) and _ops.kernels(tensors[0])[1] is _compiled
