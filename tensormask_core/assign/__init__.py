"""Rules that say which window of a `WindowGrid` stands for which object."""

from tensormask_core.assign.assignment import Assignment
from tensormask_core.assign.tensormask import TensorMaskRule

__all__ = ["Assignment", "TensorMaskRule"]
