"""Borders of convolutions that continue the image instead of adding zeros."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Border = Literal["zeros", "symmetric", "reflect"]
BORDERS = ("zeros", "symmetric", "reflect")


def pad_border(x: Tensor, sides: tuple[int, int, int, int], border: Border) -> Tensor:
    """Continue maps beyond their border.

    Args:
        x: (N, C, H, W).
        sides: cells added left, right, above and below, as for torch's ``pad``.
        border: "symmetric" mirrors the map with its edge cells (``cba|abcd|dcb``), as the
            released DeepMask does in all its convolutions; "reflect" without them (``dcb|abcd``),
            the SharpMask paper's word; "zeros" is the custom elsewhere.

    Returns:
        (N, C, top + H + bottom, left + W + right). A map may be smaller than a mirrored side.

    Raises:
        ValueError: there is no such border.

    Example:
        >>> x = torch.tensor([1.0, 2.0, 3.0]).reshape(1, 1, 1, 3)
        >>> pad_border(x, (2, 4, 0, 0), "symmetric").flatten().tolist()
        [2.0, 1.0, 1.0, 2.0, 3.0, 3.0, 2.0, 1.0, 1.0]
    """
    if border not in BORDERS:
        raise ValueError(f"border expects one of {', '.join(BORDERS)}, got {border!r}")
    if border == "zeros":
        return F.pad(x, sides)
    if border == "reflect":
        return F.pad(x, sides, mode="reflect")
    if max(sides) == 1:  # the edge cell once: one fast kernel
        return F.pad(x, sides, mode="replicate")
    left, right, top, bottom = sides
    rows = _mirrored(x.shape[-2], top, bottom, x.device)
    columns = _mirrored(x.shape[-1], left, right, x.device)
    return x.index_select(-2, rows).index_select(-1, columns)


class BorderConv2d(nn.Conv2d):
    """A convolution that pads by :func:`pad_border`; made by :func:`with_border`."""

    border: Border

    def forward(self, input: Tensor) -> Tensor:
        """Pad and convolve."""
        down, across = (int(side) for side in self.padding)
        x = pad_border(input, (across, across, down, down), self.border)
        return F.conv2d(
            x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups
        )  # fmt: skip


def with_border(network: nn.Module, border: Border) -> nn.Module:
    """Give every padded convolution inside ``network`` this border; weights stay where they are.

    Pooling keeps its own padding, as in the released code. Gradients flow through the border,
    where the released code takes the added cells for constants.

    Raises:
        ValueError: there is no such border.

    Example:
        >>> network = with_border(nn.Sequential(nn.Conv2d(3, 8, 7, padding=3)), "symmetric")
        >>> network(torch.zeros(1, 3, 9, 9)).shape[-2:]
        torch.Size([9, 9])
    """
    if border not in BORDERS:
        raise ValueError(f"border expects one of {', '.join(BORDERS)}, got {border!r}")
    if border == "zeros":
        return network
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d) and child.padding not in (0, (0, 0)):
                setattr(parent, name, _bordered(child, border))
    return network


def _bordered(conv: nn.Conv2d, border: Border) -> BorderConv2d:
    """Return the same convolution with another border."""
    made = BorderConv2d(1, 1, 1, device="meta")
    made.__dict__.update(conv.__dict__)  # its parameters, hooks and numbers
    made.border = border
    return made


def _mirrored(extent: int, before: int, after: int, device: torch.device) -> Tensor:
    """Return which cell each place from -before to extent + after shows."""
    place = torch.arange(-before, extent + after, device=device) % (2 * extent)
    return torch.minimum(place, 2 * extent - 1 - place)
