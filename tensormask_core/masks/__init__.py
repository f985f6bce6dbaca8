"""Ground truth into windows, window masks into images, and COCO's mask formats."""

from tensormask_core.masks.coverage import crop_and_resize
from tensormask_core.masks.paste import paste

__all__ = ["crop_and_resize", "paste"]
