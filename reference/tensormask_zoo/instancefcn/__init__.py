"""InstanceFCN (Dai, He, Li, Ren and Sun, ECCV 2016)."""

from __future__ import annotations

from tensormask_zoo.instancefcn.model import InstanceFCN

__all__ = ["InstanceFCN"]
