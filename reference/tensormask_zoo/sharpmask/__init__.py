"""SharpMask (Pinheiro, Lin, Collobert and Dollár, ECCV 2016)."""

from __future__ import annotations

from tensormask_zoo.sharpmask.model import SharpMask

__all__ = ["SharpMask"]
