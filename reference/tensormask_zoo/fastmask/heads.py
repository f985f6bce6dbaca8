"""The head: a score for every window, attention and a mask for those that matter (4.3)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from tensormask_core import Natural

CAFFE_GAIN = 1e-5**-0.5  # 316.23: a batch norm whose stored variance is 0 divides by sqrt(eps)


@dataclass(frozen=True, kw_only=True)
class HeadWidths:
    """Units of the hidden layers; the defaults are the released ones."""

    score: tuple[int, int] = (512, 1024)
    mask: int = 512
    dropout: float = 0.5


class WindowHead(nn.Module):
    """Scores windows and predicts their masks.

    Args:
        channels: C of a window's cells.
        window: V = U of a window.
        mask: rows and columns of a mask.
        widths: of the hidden layers.
        upsample: how much finer the masks of training and results are than those predicted.
        attention: weigh the cells of a window before its mask is predicted. Without, it is the
            standard head, whose sizes the paper does not give: the same layers, no attention.
        mask_gain: factor behind the first mask layer; :data:`CAFFE_GAIN` is the released model's,
            an accident of its batch norm that only scales gradients. 1 suits adaptive optimisers.

    Example:
        >>> head = WindowHead()
        >>> sum(p.numel() for p in head.parameters())
        15735973
    """

    def __init__(
        self,
        *,
        channels: int = 128,
        window: int = 10,
        mask: int = 40,
        upsample: int = 4,
        widths: HeadWidths | None = None,
        attention: bool = True,
        mask_gain: float = 1.0,
    ) -> None:
        super().__init__()
        widths = widths or HeadWidths()
        self.channels, self.window = channels, window
        features = channels * window * window
        first, second = widths.score
        self.score_layers = nn.Sequential(
            nn.Linear(features, first),
            nn.ReLU(inplace=True),
            nn.Dropout(widths.dropout),
            nn.Linear(first, second),
            nn.ReLU(inplace=True),
            nn.Linear(second, 1),
        )
        self.attention = nn.Linear(features, window * window) if attention else None
        self.mask_fc1 = nn.Linear(features, widths.mask, bias=False)
        self.mask_norm = GainScaleShift(widths.mask, gain=mask_gain)
        self.mask_fc2 = nn.Linear(widths.mask, mask * mask)
        self.mask, self.upsample = mask, upsample

    @property
    def mask_cells(self) -> int:
        """Rows and columns of the masks of training and results."""
        return self.mask * self.upsample

    def score(self, windows: Tensor) -> Tensor:
        """Return the confidence logits (K,) of windows (K, V, U, C)."""
        logits: Tensor = self.score_layers(windows.flatten(1))
        return logits[:, 0]

    def attend(self, windows: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return attention logits (K, V, U), or None, and the windows weighed by them."""
        if self.attention is None:
            return None, windows
        logits = self.attention(windows.flatten(1)).view(windows.shape[:3])  # (K, V, U)
        return logits, windows * logits.sigmoid()[..., None]

    def masks(self, attended: Tensor, *, stride: float) -> Natural[Tensor]:
        """Return the mask logits of attended windows (K, V, U, C) of one level.

        Each window is a batch of its own with a single place.

        Args:
            attended: (K, V, U, C).
            stride: of the windows' map in px.

        Returns:
            (K, V', U', 1, 1), where V' = U' = :attr:`mask_cells`.
        """
        hidden = self.mask_norm(self.mask_fc1(attended.flatten(1)))
        # Windows lie along the last axis while cells are interpolated: neighbours in memory.
        cells = self.mask_fc2(hidden).T.reshape(self.mask, self.mask, 1, -1)  # (V, U, 1, K)
        masks = Natural(cells, sigma_vu=stride * self.window / self.mask, sigma_hw=stride)
        if self.upsample > 1:
            # 0, a logit without opinion, lies beyond the window, as for the fixed deconvolution.
            masks = masks.up(self.upsample, vu_border="pad")
        return replace(masks, data=masks.data.permute(3, 0, 1, 2)[..., None])

    @torch.no_grad()
    def fold(self) -> None:
        """Fold gain, scale and shift into the mask layers around them; masks stay the same."""
        norm = self.mask_norm
        self.mask_fc1.weight.mul_((norm.gain * norm.weight)[:, None])
        self.mask_fc2.bias.add_(self.mask_fc2.weight @ norm.bias)
        self.mask_norm = GainScaleShift(len(norm.bias), gain=1.0).to(norm.bias)


class GainScaleShift(nn.Module):
    """A constant gain, then a learnt scale and shift per channel."""

    def __init__(self, channels: int, *, gain: float) -> None:
        super().__init__()
        self.gain = gain
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return (K, C) from (K, C)."""
        return x * (self.gain * self.weight) + self.bias
