"""Validate, plan, delegate: the one way from an array with units to a backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from tensormask_core.layout import (
    check_index,
    check_layout,
    check_same_library,
    fold_batch,
    fold_index,
    reshape,
    shape_of,
)
from tensormask_core.plan import Border, Direction, Mode, Plan, make_plan
from tensormask_core.registry import backend_of
from tensormask_core.units import Units

ArrayT = TypeVar("ArrayT")

__all__ = ["Direction", "Target", "transform", "transform_windows"]


@dataclass(frozen=True, slots=True)
class Target:
    """What a transform shall lead to."""

    units: Units
    direction: Direction = 0
    mode: Mode = "bilinear"
    vu_border: Border = "pad"
    pad_value: float = 0.0

    def plan(self, shape: tuple[int, ...], units: Units) -> Plan:
        """Return the plan for an array of ``shape`` (*batch, V, U, H, W) in ``units``."""
        v, u, h, w = shape[-4:]
        return make_plan(
            (v, u, h, w),
            units,
            self.units,
            self.direction,
            mode=self.mode,
            vu_border=self.vu_border,
            pad_value=self.pad_value,
        )


def transform(x: ArrayT, units: Units, target: Target) -> ArrayT:
    """Return ``x`` (*batch, V, U, H, W) in ``units`` as (*batch, V', U', H', W')."""
    check_layout(x, "the transform")
    shape = shape_of(x)
    plan = target.plan(shape, units)
    out: ArrayT = backend_of(x).transform(fold_batch(x), plan)
    batch = shape[:-4]
    return out if len(batch) == 1 else reshape(out, (*batch, *plan.shape_out))


def transform_windows(x: ArrayT, index: ArrayT, units: Units, target: Target) -> ArrayT:
    """Return the (K, V', U') windows at ``index`` (K, B + 2) of the transform of ``x``."""
    check_layout(x, "the transform")
    check_index(index, x)
    check_same_library(x, index, "windows(index)")
    shape = shape_of(x)
    place = fold_index(index, shape[:-4])
    out: ArrayT = backend_of(x).windows(fold_batch(x), target.plan(shape, units), place)
    return out
