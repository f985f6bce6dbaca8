"""Subject: a backend under test, called with numpy values and answering in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tensormask_core.backend import Backend
from tensormask_core.plan import Plan
from tensormask_core.testing.arrays import AsArray, AsNumpy, numpy_array, to_numpy
from tensormask_core.testing.case import Values


@dataclass(frozen=True)
class Subject:
    """A backend, the dtype it is tried with and how its arrays are made and read.

    Example:
        >>> from tensormask_core import Units, get_backend
        >>> from tensormask_core.testing.case import Case
        >>> case = Case((1, 1), (2, 2), Units(1, 1), Units(1, 1))
        >>> Subject(get_backend("numpy")).transform(np.ones((1, 1, 1, 2, 2)), case.plan).shape
        (1, 1, 1, 2, 2)
    """

    backend: Backend[Any]
    dtype: str = "float32"
    asarray: AsArray = numpy_array
    asnumpy: AsNumpy = to_numpy

    def array(self, values: Values) -> Any:
        """Return ``values`` as an array of the backend."""
        return self.asarray(values, self.dtype)

    def index_array(self, index: NDArray[np.int64], dtype: str = "int64") -> Any:
        """Return window indices as an array of the backend."""
        return self.asarray(index, dtype)

    def rounded(self, values: Values) -> Values:
        """Return what the dtype leaves of ``values``."""
        return self.asnumpy(self.array(values))

    def transform(self, x: Values, plan: Plan) -> Values:
        """Return the backend's transform of ``x``."""
        return self.asnumpy(self.backend.transform(self.array(x), plan))

    def transform_adjoint(self, g: Values, plan: Plan) -> Values:
        """Return the backend's adjoint at ``g``."""
        return self.asnumpy(self.backend.transform_adjoint(self.array(g), plan))

    def windows(self, x: Values, plan: Plan, index: NDArray[np.int64]) -> Values:
        """Return the backend's windows at ``index``."""
        return self.asnumpy(self.backend.windows(self.array(x), plan, self.index_array(index)))

    def windows_adjoint(
        self, g: Values, plan: Plan, index: NDArray[np.int64], batch: int
    ) -> Values:
        """Return the backend's adjoint of the windows at ``g``."""
        places = self.index_array(index)
        return self.asnumpy(self.backend.windows_adjoint(self.array(g), plan, places, batch))
