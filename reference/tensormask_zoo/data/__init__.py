"""Data sets of image and instances, all in torchvision's detection convention.

The Lightning data modules are in `tensormask_zoo.data.module`.
"""

from tensormask_zoo.data.sample import Batch, Sample, Target, collate
from tensormask_zoo.data.shapes import Shapes
from tensormask_zoo.data.write_coco import write_coco

__all__ = ["Batch", "Sample", "Shapes", "Target", "collate", "write_coco"]
