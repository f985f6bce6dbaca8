"""DeepMask (Pinheiro, Collobert and Dollár, NIPS 2015) and its variants (SharpMask, section 4)."""

from __future__ import annotations

from tensormask_zoo.deepmask.model import DeepMask
from tensormask_zoo.deepmask.patches import sample_patch
from tensormask_zoo.deepmask.placement import PatchRule

__all__ = ["DeepMask", "PatchRule", "sample_patch"]
