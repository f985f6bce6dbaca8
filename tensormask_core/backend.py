"""The protocol that an array library's backend implements: four functions."""

from __future__ import annotations

from typing import Protocol, TypeVar

from tensormask_core.plan import Plan

ArrayT = TypeVar("ArrayT")


class Backend(Protocol[ArrayT]):
    """Evaluates plans on the arrays of one library.

    Arrays arrive checked: ``(N, V, U, H, W)`` of a floating dtype, of the extents that the plan
    names, any of them possibly 0. ``index`` is ``(K, 3)`` integers: batch, y, x of the wanted
    output windows; y and x may lie outside the grid, where the map is as well defined as inside.
    Results have the dtype and device of the input, which is never modified; half precision is
    accumulated in float32. ``pad_value`` may be infinite: it then reaches the outputs that read
    outside with a weight above 0, and no others. A batch index out of range is an IndexError
    wherever its value can be seen.
    """

    @property
    def name(self) -> str:
        """The name under which the backend is registered."""

    def transform(self, x: ArrayT, plan: Plan, /) -> ArrayT:
        """Return the output ``(N, *plan.shape_out)``."""

    def transform_adjoint(self, g: ArrayT, plan: Plan, /) -> ArrayT:
        """Return the adjoint of the linear part at ``g`` of (N, *shape_out): (N, *shape_in)."""

    def windows(self, x: ArrayT, plan: Plan, index: ArrayT, /) -> ArrayT:
        """Return the windows at ``index`` only: ``(K, *plan.window_out)``."""

    def windows_adjoint(self, g: ArrayT, plan: Plan, index: ArrayT, batch: int, /) -> ArrayT:
        """Return the adjoint at ``g`` of (K, *window_out): ``(batch, *plan.shape_in)``."""
