"""Read pictures, and tell the ones that were cut short."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision import tv_tensors

from tensormask_zoo.data.crops import Region

# A JPEG ends with its end-of-image marker, a PNG with the chunk IEND and its checksum.
END_MARKS = (b"\xff\xd9", b"IEND\xaeB`\x82")
WHOLE: Region = (slice(None), slice(None))
TAIL_BYTES = 32  # some writers add a few bytes after the mark
# What Pillow raises for damaged files; SyntaxError stands for a broken PNG chunk.
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class PictureError(OSError):
    """A picture that cannot be used; its text is a reason, the same for all of its kind."""


def read_picture(
    path: Path, region: Region = WHOLE, size: tuple[int, int] | None = None
) -> tv_tensors.Image:
    """Read a part of a picture as RGB.

    Args:
        path: Any format that Pillow knows.
        region: Rows and columns, in px; all by default.
        size: (H, W) that the whole picture must have; any by default.

    Returns:
        (3, height, width) float32 in [0, 1].

    Raises:
        PictureError: Missing, truncated, not a picture, or of another size.
    """
    pixels = _read_pixels(path)
    if size is not None and pixels.shape[:2] != size:
        raise PictureError("image of another size than in the JSON")
    image = torch.from_numpy(np.ascontiguousarray(pixels[region].transpose(2, 0, 1)))
    return tv_tensors.Image(image.float() / 255)


def check_picture(path: Path) -> None:
    """Find out whether a picture can be read, decoding it only when its end looks wrong.

    Args:
        path: The file.

    Raises:
        PictureError: Missing, truncated, not a picture.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - TAIL_BYTES, 0))
            tail = file.read()
    except OSError:
        raise PictureError("missing image") from None
    if not any(mark in tail for mark in END_MARKS):
        _read_pixels(path)


def _read_pixels(path: Path) -> NDArray[np.uint8]:
    """Decode the whole picture: (H, W, 3)."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except FileNotFoundError:
        raise PictureError("missing image") from None
    except UNREADABLE:
        raise PictureError("truncated or unreadable image") from None
