"""DeepMask's head: one vector per window, from which its mask and, in head C, its score come."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tensormask_core import Natural, ops

ScoreHead = Literal["original", "A", "B", "C"]
SCORE_HEADS = ("original", "A", "B", "C")
SCORE_FEATURES = 128  # channels of head A's own reduction
SCORE_WIDTHS = (512, 1024)  # channels of every score path


class HeadOutput(NamedTuple):
    """What the head says of every window of a map.

    Attributes:
        vectors: (N, C, H, W), from which :meth:`Head.masks` makes masks.
        scores: (N, H, W) logits.
    """

    vectors: Tensor
    scores: Tensor


class Head(nn.Module):
    """The mask and the score of the window around every position, by convolutions throughout.

    The mask path reduces the features (1x1, ReLU), joins a whole window in one vector by a
    kernel of its size, without a ReLU, and spreads that over the mask's cells: a linear map of
    low rank. The score path is one of four, which share ever more of it (SharpMask, Figure 3):

    - "original": its own pooling and 7x7 kernel of stride-2 cells. Poolings at stride 1 and a
      dilated kernel give at every position what the original interleaves from shifted poolings.
    - "A": its own reduction to 128 channels and window kernel, no pooling.
    - "B": its own window kernel on the mask path's reduction.
    - "C": the mask path's vector. The default: all four are within noise in AR (Table 3), C is
      the fastest and the released model's.

    Dropout precedes the linear layers and the hidden unit is a ReLU; the released code's puts
    1e-6 for 0 in training only.

    Args:
        channels: channels of the features.
        kernel: side of a window in cells of the feature map, W / 2^P.
        features: channels of the reduction, F in the paper.
        score_head: which score path.
        vector: channels of a window's vector.
        mask_cells: V = U of the masks.
        dropout: share of inputs dropped before the last two linear layers of the score.

    Raises:
        ValueError: an unknown ``score_head``, or the original one on a window of odd side.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel: int,
        features: int = 128,
        score_head: ScoreHead = "C",
        vector: int = 512,
        mask_cells: int = 56,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        _check(score_head, kernel)
        self.kernel, self.score_head, self.mask_cells = kernel, score_head, mask_cells
        self.reduce = nn.Conv2d(channels, features, 1)
        self.encode = nn.Conv2d(features, vector, kernel)
        self.decode = nn.Conv2d(vector, mask_cells**2, 1)
        own, hidden = SCORE_WIDTHS
        self.score_reduce = nn.Conv2d(channels, SCORE_FEATURES, 1) if score_head == "A" else None
        self.score_encode: nn.Conv2d | None = None
        if score_head == "original":
            self.score_encode = nn.Conv2d(channels, own, kernel // 2, dilation=2)
        elif score_head != "C":
            c_in = SCORE_FEATURES if score_head == "A" else features
            self.score_encode = nn.Conv2d(c_in, own, kernel)
        self.score = nn.Sequential(
            nn.Dropout(dropout),
            nn.Conv2d(vector if score_head == "C" else own, hidden, 1),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv2d(hidden, 1, 1),
        )

    def forward(self, features: Tensor) -> HeadOutput:
        """Return vectors and scores of features (N, C, H + k - 1, W + k - 1), k the kernel.

        Windows are those that lie inside the map; a patch has one.
        """
        reduced = self.reduce(features).relu()
        vectors = self.encode(reduced)
        scores = self.score(self._score_vectors(features, reduced, vectors))[:, 0]
        return HeadOutput(vectors, scores)

    def masks(self, vectors: Tensor, *, sigma_vu: float, sigma_hw: float) -> Natural[Tensor]:
        """Return the mask logits (N, V, U, H, W) of vectors (N, C, H, W), units in px."""
        cells = (self.mask_cells, self.mask_cells)
        return Natural(ops.from_channels(self.decode(vectors), cells), sigma_vu, sigma_hw)

    def masks_of(self, vectors: Tensor) -> Tensor:
        """Return the mask logits (K, V, U) of the vectors (K, C) of chosen windows."""
        masks = self.masks(vectors[:, :, None, None], sigma_vu=1, sigma_hw=1)
        return masks.data[..., 0, 0]

    def _score_vectors(self, features: Tensor, reduced: Tensor, vectors: Tensor) -> Tensor:
        """Return what the last layers of the score read, (N, C, H, W)."""
        if self.score_encode is None:
            return vectors
        if self.score_head == "original":
            # Shifted by one cell, a pooling of stride 2 reads the other half of these.
            features = F.max_pool2d(features, 2, stride=1)
        elif self.score_reduce is not None:
            features = self.score_reduce(features).relu()
        else:
            features = reduced
        own: Tensor = self.score_encode(features)
        return torch.relu(own)


def _check(score_head: str, kernel: int) -> None:
    """Refuse score paths that do not exist."""
    if score_head not in SCORE_HEADS:
        raise ValueError(f"score_head expects one of {', '.join(SCORE_HEADS)}, got {score_head!r}")
    if score_head == "original" and kernel % 2:
        raise ValueError(
            f"the original score head pools windows by 2: it expects an even number of cells per "
            f"window, got {kernel}; choose head A, B or C"
        )
