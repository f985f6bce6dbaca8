"""The class and box head: what is in each window, and where exactly."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tensormask_zoo.towers import HeadWidths, conv_tower, init_conv, prior_bias

PRIOR = 0.01  # probability of an object before training


class ClassBoxHead(nn.Module):
    """Class logits and box deltas of every window of every level.

    ``forward`` returns logits (N, M, num_classes) and deltas (N, M, 4) over all M windows in the
    order of :class:`tensormask_core.WindowGrid`: level, y, x, window size. Without ``boxes`` there
    are no deltas, and boxes are those of the masks (appendix A.4).
    """

    def __init__(
        self,
        channels: int,
        *,
        sizes: int,
        num_classes: int,
        widths: HeadWidths,
        boxes: bool = True,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        tower = (widths.depth, widths.norm_groups)
        self.class_tower = conv_tower(channels, widths.class_channels, *tower)
        own = boxes and not widths.share_towers
        self.box_tower = conv_tower(channels, widths.box_channels, *tower) if own else None
        box_in = widths.box_channels if own else widths.class_channels
        self.logits = nn.Conv2d(widths.class_channels, sizes * num_classes, 3, padding=1)
        self.deltas = init_conv(nn.Conv2d(box_in, sizes * 4, 3, padding=1)) if boxes else None
        init_conv(self.logits, prior_bias(PRIOR))

    def forward(
        self, levels: Sequence[Tensor], *, every_box: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        """Apply both branches to every level.

        Without ``every_box`` a box tower of its own is left to :func:`deltas_at.deltas_at`.
        """
        dense = self.deltas is not None and (every_box or self.box_tower is None)
        logits, deltas = [], []
        for level in levels:
            class_features = self.class_tower(level)
            logits.append(_per_window(self.logits(class_features), self.num_classes))
            if dense and self.deltas is not None:
                box_features = class_features if self.box_tower is None else self.box_tower(level)
                deltas.append(_per_window(self.deltas(box_features), 4))
        return torch.cat(logits, dim=1), torch.cat(deltas, dim=1) if deltas else None


def _per_window(x: Tensor, values: int) -> Tensor:
    """Turn (N, sizes * values, H, W) into (N, H * W * sizes, values)."""
    n, c, h, w = x.shape
    return x.permute(0, 2, 3, 1).reshape(n, h * w * (c // values), values)
