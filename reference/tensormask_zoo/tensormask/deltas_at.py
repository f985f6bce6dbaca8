"""Box deltas of chosen windows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tensormask_zoo.tensormask.class_box_head import ClassBoxHead
from tensormask_zoo.tensormask.conv_at import convs_at
from tensormask_zoo.tensormask.targets import Windows


def deltas_at(head: ClassBoxHead, levels: Sequence[Tensor], windows: Windows) -> Tensor:
    """Return the deltas (P, 4) of ``windows`` by a head with a box tower of its own.

    The box branch is computed around these windows only; the numbers are those of the dense one.
    """
    box_tower, deltas = head.box_tower, head.deltas
    if not isinstance(box_tower, nn.Sequential) or deltas is None:
        raise TypeError("deltas_at expects a head with a box tower; take the deltas of every box")
    found = levels[0].new_zeros((len(windows.window), 4))
    for k, level in enumerate(levels):
        rows = (windows.place[:, 0] == k).nonzero()[:, 0]
        if len(rows):
            values = convs_at([*box_tower, deltas], level, windows.index(rows))
            by_size = values.view(len(rows), -1, 4)
            mine = by_size[torch.arange(len(rows), device=rows.device), windows.place[rows, 3]]
            found = found.index_copy(0, rows, mine.to(found.dtype))
    return found
