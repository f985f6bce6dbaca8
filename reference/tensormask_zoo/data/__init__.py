"""Data sets of images and instances, all in torchvision's detection convention.

The Lightning data modules are in `shapes_module` and `coco_module`, so that Lightning is imported
only by those who use it.
"""

from tensormask_zoo.data.coco import CocoInstances
from tensormask_zoo.data.crops import RandomCrop, ShortSide
from tensormask_zoo.data.sample import Batch, Sample, Target, collate
from tensormask_zoo.data.shapes import Shapes
from tensormask_zoo.data.transforms import eval_transforms, train_transforms
from tensormask_zoo.data.write_coco import write_coco

__all__ = [
    "Batch",
    "CocoInstances",
    "RandomCrop",
    "Sample",
    "Shapes",
    "ShortSide",
    "Target",
    "collate",
    "eval_transforms",
    "train_transforms",
    "write_coco",
]
