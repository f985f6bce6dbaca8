"""Rules that say which window of a `WindowGrid` stands for which object."""

from tensormask_core.assign.assignment import Assignment
from tensormask_core.assign.deepmask import DeepMaskRule
from tensormask_core.assign.fastmask import FastMaskRule
from tensormask_core.assign.tensormask import TensorMaskRule

__all__ = ["Assignment", "DeepMaskRule", "FastMaskRule", "TensorMaskRule"]
