"""Ground truth into windows, window masks into images, and COCO's mask formats."""

from tensormask_core.masks.annotation import annotation_to_rle
from tensormask_core.masks.coverage import crop_and_resize
from tensormask_core.masks.geometry import mask_iou, tight_boxes
from tensormask_core.masks.paste import paste
from tensormask_core.masks.polygon import polygons_to_mask, polygons_to_rle
from tensormask_core.masks.rle import decode, encode, rle_iou, windows_to_rle

__all__ = [
    "annotation_to_rle",
    "crop_and_resize",
    "decode",
    "encode",
    "mask_iou",
    "paste",
    "polygons_to_mask",
    "polygons_to_rle",
    "rle_iou",
    "tight_boxes",
    "windows_to_rle",
]
