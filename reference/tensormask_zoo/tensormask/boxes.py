"""Box regression relative to windows: R-CNN's four deltas with TensorMask's weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor

DELTA_WEIGHTS = (1.5, 1.5, 0.75, 0.75)  # dx, dy, dw, dh
LARGEST_LOG_SCALE = math.log(1000 / 16)  # a box is at most this much larger than its window


def encode_boxes(boxes: Tensor, windows: Tensor) -> Tensor:
    """Return the deltas (P, 4) that take ``windows`` to ``boxes``, both (P, 4) XYXY px.

    Sides of boxes are taken to be at least a tenth of a pixel, so that degenerate objects keep
    finite targets.
    """
    centre, size = _centre_size(boxes)
    window_centre, window_size = _centre_size(windows)
    shift = (centre - window_centre) / window_size
    scale = (size.clamp(min=0.1) / window_size).log()
    return torch.cat([shift, scale], dim=1) * boxes.new_tensor(DELTA_WEIGHTS)


def decode_boxes(deltas: Tensor, windows: Tensor) -> Tensor:
    """Return the boxes (P, 4) XYXY px that ``deltas`` make of ``windows``; not clipped."""
    shift, scale = (deltas / deltas.new_tensor(DELTA_WEIGHTS)).tensor_split(2, dim=1)
    window_centre, window_size = _centre_size(windows)
    centre = shift * window_size + window_centre
    half = scale.clamp(max=LARGEST_LOG_SCALE).exp() * window_size / 2
    return torch.cat([centre - half, centre + half], dim=1)


def _centre_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    low, high = boxes.tensor_split(2, dim=1)
    return (low + high) / 2, high - low
