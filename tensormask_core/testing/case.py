"""Case: one transform with its units, as the strategies draw it and the oracle reads it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tensormask_core.plan import Border, Direction, Mode, Plan, make_plan
from tensormask_core.units import Units

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """One transform of arrays (N, V, U, H, W), and the seed of the values to try it with.

    Attributes:
        window: (V, U) of the input.
        grid: (H, W) of the input.
        units_in: units of the input.
        units_out: units of the output.
        direction: 1 aligned to natural, -1 natural to aligned, 0 neither.
        mode: interpolation between cells.
        vu_border: what lies beyond the outermost cells.
        pad_value: what is read outside.
        batch: N.
        seed: of :meth:`values` and :meth:`index`.

    Example:
        >>> case = Case((3, 3), (8, 8), Units(2, 1), Units(1, 2))
        >>> case.plan.shape_out, case.x().shape
        ((6, 6, 4, 4), (1, 3, 3, 8, 8))
    """

    window: tuple[int, int]
    grid: tuple[int, int]
    units_in: Units
    units_out: Units
    direction: Direction = 1
    mode: Mode = "bilinear"
    vu_border: Border = "pad"
    pad_value: float = 0.0
    batch: int = 1
    seed: int = 0

    @property
    def plan(self) -> Plan:
        """The plan that the library derives from the case."""
        return make_plan(
            (*self.window, *self.grid),
            self.units_in,
            self.units_out,
            self.direction,
            mode=self.mode,
            vu_border=self.vu_border,
            pad_value=self.pad_value,
        )

    def but(self, **changes: Any) -> Case:
        """Return the case with some fields changed."""
        return replace(self, **changes)

    def values(self, shape: tuple[int, ...], stream: int = 0) -> Values:
        """Return seeded normal values; other streams are independent."""
        return np.random.default_rng((self.seed, stream)).normal(size=shape)

    def x(self) -> Values:
        """Return an input (N, V, U, H, W)."""
        return self.values((self.batch, *self.window, *self.grid))

    def g(self) -> Values:
        """Return a gradient (N, V', U', H', W') of the output."""
        return self.values((self.batch, *self.plan.shape_out), 1)

    def index(self, count: int = 5) -> NDArray[np.int64]:
        """Return (K, 3) windows, some of them outside the grid and some twice; none if N is 0."""
        rng = np.random.default_rng((self.seed, 2))
        extents = (self.batch, *self.plan.grid_out)
        margin = np.array([0, 2, 2])
        count = count if self.batch else 0
        index = rng.integers(-margin, np.maximum(extents, 1) + margin, size=(count, 3))
        return np.concatenate([index, index[:1]])
