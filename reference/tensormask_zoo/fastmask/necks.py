"""Necks: zoom a feature map out by two, again and again, with the same weights (section 4.2)."""

from __future__ import annotations

from torch import Tensor, nn

NECKS = ("max", "average", "feed_forward", "residual")


class PoolingNeck(nn.Module):
    """The neck without parameters: 2x2 pooling of stride 2.

    Map sides are rounded up, so that a map of receptive unit rf has ceil(H / rf) rows.

    Args:
        channels: of the map; any number.
        kind: "average" keeps the mean of the features and blurs them, "max" raises it.

    Example:
        >>> import torch
        >>> PoolingNeck(8, kind="max")(torch.zeros(1, 8, 5, 6)).shape
        torch.Size([1, 8, 3, 3])
    """

    def __init__(self, channels: int, *, kind: str = "average") -> None:
        super().__init__()
        self.pool = _average() if kind == "average" else nn.MaxPool2d(2, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, ceil(H/2), ceil(W/2)) from (N, C, H, W)."""
        pooled: Tensor = self.pool(x)
        return pooled


class ConvolutionalNeck(nn.Module):
    """The necks with parameters: a 3x3 and a 1x1 convolution, then average pooling.

    The published residual neck is ReLU(pool(x) + pool(f(x))); pooling once gives the same.

    Args:
        channels: of the map.
        hidden: channels between the two convolutions.
        residual: add the map itself, as the chosen neck does; without, the feed-forward neck.

    Example:
        >>> neck = ConvolutionalNeck(1024)
        >>> sum(p.numel() for p in neck.parameters())
        2622720
    """

    def __init__(self, channels: int, *, hidden: int = 256, residual: bool = True) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(channels, hidden, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1),
        )
        self.pool = _average()
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, ceil(H/2), ceil(W/2)) from (N, C, H, W)."""
        y = self.convs(x)
        zoomed: Tensor = self.pool(x + y if self.residual else y)
        return zoomed.relu()


def make_neck(name: str, channels: int, hidden: int = 256) -> nn.Module:
    """Return a neck of Table 1; "residual" has the best published numbers.

    Args:
        name: one of :data:`NECKS`.
        channels: of the map.
        hidden: channels between the convolutions of the necks that have any.

    Raises:
        ValueError: there is no such neck.
    """
    if name not in NECKS:
        raise ValueError(f"neck expects one of {', '.join(NECKS)}, got {name!r}")
    if name in ("max", "average"):
        return PoolingNeck(channels, kind=name)
    return ConvolutionalNeck(channels, hidden=hidden, residual=name == "residual")


def _average() -> nn.Module:
    # A cell at a border of odd length averages what there is, as Caffe's pooling does.
    return nn.AvgPool2d(2, ceil_mode=True)
