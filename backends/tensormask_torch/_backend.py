"""The four functions of a backend, as calls of ``torch.ops.tensormask``."""

from __future__ import annotations

from torch import Tensor

from tensormask_core.plan import Plan
from tensormask_torch import _batching, _gradients, _ops

_gradients.register()
_batching.register()


class TorchBackend:
    """Transforms torch tensors, traceable and differentiable to any order."""

    name = "torch"

    def transform(self, x: Tensor, plan: Plan) -> Tensor:
        """Return the output (N, *plan.shape_out)."""
        return _ops.transform(
            x, plan.shape_out, _ops.ratios(plan), plan.mode, plan.vu_border, plan.pad_value
        )

    def transform_adjoint(self, g: Tensor, plan: Plan) -> Tensor:
        """Return the adjoint (N, *plan.shape_in) at ``g`` (N, *plan.shape_out)."""
        return _ops.transform_adjoint(
            g, plan.shape_in, _ops.ratios(plan), plan.mode, plan.vu_border
        )

    def windows(self, x: Tensor, plan: Plan, index: Tensor) -> Tensor:
        """Return the windows (K, *plan.window_out) at ``index`` (K, 3)."""
        return _ops.windows(
            x, index, plan.window_out, _ops.ratios(plan), plan.mode, plan.vu_border, plan.pad_value
        )

    def windows_adjoint(self, g: Tensor, plan: Plan, index: Tensor, batch: int) -> Tensor:
        """Return the adjoint (batch, *plan.shape_in) at ``g`` (K, *plan.window_out)."""
        shape_in = (batch, *plan.shape_in)
        return _ops.windows_adjoint(
            g, index, shape_in, _ops.ratios(plan), plan.mode, plan.vu_border
        )
