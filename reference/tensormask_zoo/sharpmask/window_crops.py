"""The parts of a map that lie under windows."""

from __future__ import annotations

from torch import Tensor


def box_around(x: Tensor, index: Tensor, *, side: int, step: int) -> Tensor:
    """Return the part of a map that lies under any of some windows, or between them.

    Args:
        x: (C, H, W).
        index: (K, 2) y and x of each window on its own grid, K > 0.
        side: rows and columns of a window on the map; it lies inside the map.
        step: cells of the map from one window to the next.

    Returns:
        (C, H', W'), a view, that starts with the first row and column under a window.

    Example:
        >>> import torch
        >>> index = torch.tensor([[2, 1], [0, 3]])
        >>> box_around(torch.zeros(1, 9, 9), index, side=3, step=2).shape
        torch.Size([1, 7, 7])
    """
    top, left = (step * index.amin(0)).tolist()
    bottom, right = (step * index.amax(0) + side).tolist()
    return x[:, top:bottom, left:right]


def crop_windows(x: Tensor, index: Tensor, *, side: int, step: int) -> Tensor:
    """Return the part of a map under each window.

    Args:
        x: (C, H, W).
        index: (K, 2) y and x of each window on its own grid.
        side: rows and columns of a window on the map; it lies inside the map.
        step: cells of the map from one window to the next.

    Returns:
        (K, C, side, side), copies, laid out in memory as ``x`` is.

    Example:
        >>> import torch
        >>> x = torch.arange(16.0).reshape(1, 4, 4)
        >>> crop_windows(x, torch.tensor([[1, 0]]), side=2, step=2).tolist()
        [[[[8.0, 9.0], [12.0, 13.0]]]]
    """
    windows = x.unfold(1, side, step).unfold(2, side, step)  # (C, H', W', side, side), a view
    return windows.permute(1, 2, 0, 3, 4)[index[:, 0], index[:, 1]]
