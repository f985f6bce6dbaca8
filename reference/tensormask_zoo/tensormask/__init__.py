"""TensorMask (Chen, Girshick, He and Dollár, ICCV 2019)."""

from __future__ import annotations

from tensormask_zoo.tensormask.model import TensorMask

__all__ = ["TensorMask"]
