"""A problem that contenders share: the operator, its extents and its dtype."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from _harness import Case

from tensormask_core import Units
from tensormask_core.plan import ALIGNED_TO_NATURAL, Plan, make_plan

PAD_LOGIT = -6.0  # sigmoid(-6) = 0.0025, "no mask here": what the published operator pads with
ITEM_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}

Operator = Literal["swap_align2nat", "up_align2nat"]
Direction = Literal["forward", "adjoint"]


@dataclass(frozen=True)
class Problem:
    """One operator on arrays ``(batch, *window, *grid)``.

    Attributes:
        lam: the ratio of the units.
        grid: (H, W) of the operator's input.
        direction: the operator, or its adjoint, whose input is as large as the operator's output.
        dtype: of the arrays.
        threads: those that a contender may use.
        batch: N.
        window: (V, U) of the operator's input.
        operator: its name in tensormask_core.ops.
        device: cpu or cuda.
    """

    lam: int
    grid: tuple[int, int]
    direction: Direction = "forward"
    dtype: str = "float32"
    threads: int = 1
    batch: int = 1
    window: tuple[int, int] = (15, 15)
    operator: Operator = "swap_align2nat"
    device: str = "cpu"

    @property
    def case(self) -> Case:
        """What tells the problem from others, for the result."""
        v, u, h, w = self.plan.shape_in
        return {
            "operator": self.operator,
            "direction": self.direction,
            "lam": self.lam,
            "N": self.batch,
            "V": v,
            "U": u,
            "H": h,
            "W": w,
            "dtype": self.dtype,
            "threads": self.threads,
        }

    @cached_property
    def plan(self) -> Plan:
        """The operator as a backend sees it."""
        sigma_hw = self.lam if self.operator == "swap_align2nat" else 1
        return make_plan(
            (*self.window, *self.grid),
            Units(self.lam, 1),
            Units(1, sigma_hw),
            ALIGNED_TO_NATURAL,
            pad_value=PAD_LOGIT,
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array that the contenders get."""
        shape = self.plan.shape_in if self.direction == "forward" else self.plan.shape_out
        return (self.batch, *shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the array that the contenders get."""
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]

    @property
    def floor_bytes(self) -> int:
        """Bytes of an array whose copy moves what the operator must: its input and its output."""
        samples = math.prod(self.plan.shape_in) + math.prod(self.plan.shape_out)
        return self.batch * samples * ITEM_BYTES[self.dtype] // 2
