"""pycocotools, imported when the first function needs it."""

from __future__ import annotations

from typing import Any


def coco_mask() -> Any:
    """Return the module `pycocotools.mask`, or say how to install it."""
    try:
        from pycocotools import mask  # noqa: PLC0415  (an optional dependency)
    except ImportError as error:
        raise ImportError(
            "RLE and polygon masks need pycocotools: pip install 'tensormask-core[masks]'"
        ) from error
    return mask
