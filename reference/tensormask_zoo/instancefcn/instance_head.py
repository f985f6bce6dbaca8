"""The two branches: instance-sensitive score maps, and objectness (InstanceFCN, Figure 4)."""

from __future__ import annotations

from torch import Tensor, nn

from tensormask_core import Aligned, Natural, ops
from tensormask_zoo.towers import init_conv


class InstanceHead(nn.Module):
    """k x k score maps from which masks of m x m nodes are assembled, and a score per window.

    Score map (i, j) says how well a pixel fits the cell (i, j) of an object's window: it is an
    aligned tensor whose k x k cells are m/k nodes long. Assembling a mask reads the nearest cell
    (TensorMask, appendix A.2, equation 6), also where k does not divide m, as 5 and 21. Nodes
    outside the map read 0: neither mask nor background.

    Args:
        channels: channels of the trunk's map.
        k: cells per side; 3, 5 and 7 in the paper, 5 adopted.
        m: nodes per side of a window; 21 in the paper.
        stride: px between nodes.
        hidden: channels of the first convolution of each branch.

    Raises:
        ValueError: k or m is not positive, or there are fewer nodes than cells.

    Example:
        >>> import torch
        >>> head = InstanceHead(64, k=5)
        >>> score_maps, objectness = head(torch.zeros(2, 64, 30, 40))
        >>> score_maps.shape, objectness.shape
        ((2, 5, 5, 30, 40), torch.Size([2, 30, 40]))
        >>> head.masks(score_maps, torch.tensor([[1, 15, 20]])).shape
        torch.Size([1, 21, 21])
    """

    def __init__(
        self, channels: int, *, k: int = 5, m: int = 21, stride: int = 8, hidden: int = 512
    ) -> None:
        super().__init__()
        if not 1 <= k <= m:
            raise ValueError(f"k expects 1 to m = {m} cells per side, got {k}")
        self.k, self.m, self.stride = k, m, stride
        self.segments = nn.Sequential(
            init_conv(nn.Conv2d(channels, hidden, 1)),
            nn.ReLU(inplace=True),
            init_conv(nn.Conv2d(hidden, k * k, 3, padding=1)),
        )
        self.objectness = nn.Sequential(
            init_conv(nn.Conv2d(channels, hidden, 3, padding=1)),
            nn.ReLU(inplace=True),
            init_conv(nn.Conv2d(hidden, 1, 1)),
        )

    def forward(self, features: Tensor) -> tuple[Aligned[Tensor], Tensor]:
        """Return score maps (N, k, k, H, W) and objectness (N, H, W) of a map, both logits."""
        maps = ops.from_channels(self.segments(features), self.k)  # (N, k, k, H, W)
        score_maps = Aligned(maps, sigma_vu=self.stride * self.m / self.k, sigma_hw=self.stride)
        objectness: Tensor = self.objectness(features)
        return score_maps, objectness[:, 0]

    def masks(self, score_maps: Aligned[Tensor], index: Tensor) -> Tensor:
        """Assemble the mask logits (K, m, m) of the windows ``index`` (K, 3): image, y, x."""
        return score_maps.windows(index, sigma_vu=self.stride, mode="nearest")

    def dense(self, score_maps: Aligned[Tensor]) -> Natural[Tensor]:
        """Assemble the mask logits (N, m, m, H, W) of all windows."""
        return Natural(ops.assemble(score_maps.data, self.m), self.stride, self.stride)
