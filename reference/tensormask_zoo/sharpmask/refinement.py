"""Refinement: a mask encoding grows by the features of the trunk, finer by two at each module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tensormask_zoo.deepmask.padding import Border, pad_border, with_border
from tensormask_zoo.sharpmask.design import RefinementDesign
from tensormask_zoo.sharpmask.doubling import (
    Upsample,
    channels_last,
    convolve_doubled,
    doubled,
)
from tensormask_zoo.sharpmask.window_crops import box_around, crop_windows

Execution = Literal["refactored", "concatenated"]
EXECUTIONS = ("refactored", "concatenated")
RING = (1, 1, 1, 1)  # what a 3x3 convolution reads beyond a map
WIDER = 2  # rows and columns that a ring adds


class Refinement(nn.Module):
    """One module: M' = up(relu(W * [M, S] + b)), where S comes from the trunk's features.

    A convolution of two maps in a row is the sum of one each (SharpMask, Figure 7): "refactored"
    does that of S once per image, for all windows that show it; "concatenated" does both per
    window. M alone is a doubled map, so that "refactored" also reads it without making it, see
    :func:`convolve_doubled`. They agree to rounding, because a window's S continues with the image
    around it either way, while its M, which ends with the window, is padded.

    Args:
        features: channels of the trunk's map.
        hidden: channels between the two convolutions that make S.
        encoding: channels k_m of M, which are also those k_s of S.
        out: channels of M'.
        design: form, upsampling and border.
        first: whether no module came before, so that M needs no doubling.
    """

    vertical: Any  # a Sequential, whose layers a type checker cannot see

    def __init__(
        self,
        features: int,
        *,
        hidden: int,
        encoding: int,
        out: int,
        design: RefinementDesign,
        first: bool = False,
    ) -> None:
        super().__init__()
        code = design.form == "code"
        self.border: Border = design.border
        self.doubling: Upsample | None = None if first else design.upsample
        horizontal = nn.Sequential(
            nn.Conv2d(features, hidden, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, encoding, 3, padding=1),
            nn.ReLU(inplace=True),
        )
        self.horizontal = with_border(horizontal, design.border)
        vertical = [nn.Conv2d(encoding, encoding, 3, padding=1), nn.ReLU()] if code else []
        self.vertical = with_border(nn.Sequential(*vertical), design.border)
        self.of_skip = nn.Conv2d(encoding, out, 3, bias=code)
        self.of_mask = nn.Conv2d(encoding, out, 3)

    def skip(self, features: Tensor) -> Tensor:
        """Return S (N, k_s, H + 2, W + 2) of a map (N, C, H, W), with a ring of one cell."""
        return pad_border(self.horizontal(features), RING, self.border)

    def share(self, skip: Tensor, execution: Execution) -> Tensor:
        """Return the share (N, out, H, W) of M' that S has, or S itself."""
        return self.of_skip(channels_last(skip)) if execution == "refactored" else skip

    def forward(self, mask: Tensor, shared: Tensor, execution: Execution) -> Tensor:
        """Return M' before it is doubled, which is left to whoever reads it.

        Args:
            mask: (K, k_m, h / 2, w / 2) of the module before, or (K, k_m, h, w) in the first one.
            shared: what :meth:`share` returned, under these windows.
            execution: as ``shared`` was made for.

        Returns:
            (K, out, h, w).
        """
        if execution == "refactored":
            merged = self._of_mask_alone(mask) + shared
        else:
            mask = mask if self.doubling is None else doubled(mask, self.doubling)
            padded = pad_border(self.vertical(mask), RING, self.border)
            both = torch.cat([padded, shared], dim=1)
            merged = F.conv2d(channels_last(both), *self._of_both())
        return merged.relu_()

    def _of_mask_alone(self, mask: Tensor) -> Tensor:
        """Return the share of M' that M has."""
        doubling = self.doubling
        if len(self.vertical):
            mask = convolve(mask, self.vertical[0], doubling, self.border).relu_()
            doubling = None
        return convolve(mask, self.of_mask, doubling, self.border)

    def _of_both(self) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias of the one convolution of M and S in a row."""
        bias = self.of_mask.bias
        if bias is not None and self.of_skip.bias is not None:
            bias = bias + self.of_skip.bias
        return torch.cat([self.of_mask.weight, self.of_skip.weight], dim=1), bias


class Refiner(nn.Module):
    """All modules in a row: from a window's vector to its mask at the resolution of the image.

    Args:
        vector: channels of a window's vector.
        kernel: side of a window in cells of the coarsest map.
        widths: channels of the trunk's maps, coarsest first; a module each.
        design: schedule and form of the modules.
        execution: "refactored" is the faster of two that agree.

    Raises:
        ValueError: an unknown execution.
    """

    steps: Any  # a ModuleList of Refinement, whose methods a type checker cannot see
    final: Any  # a Sequential, whose layers it cannot see

    def __init__(
        self,
        vector: int,
        *,
        kernel: int,
        widths: tuple[int, ...],
        design: RefinementDesign,
        execution: Execution = "refactored",
    ) -> None:
        super().__init__()
        if execution not in EXECUTIONS:
            raise ValueError(f"execution expects one of {', '.join(EXECUTIONS)}, got {execution!r}")
        self.kernel, self.execution = kernel, execution
        self.border: Border = design.border
        self.doubling: Upsample = design.upsample
        encodings = design.encodings(len(widths))
        self.encode = nn.Conv2d(vector, encodings[0] * kernel**2, 1)
        self.steps = nn.ModuleList(
            Refinement(
                features,
                hidden=design.hidden(i, len(widths)),
                encoding=encodings[i],
                out=encodings[i + 1],
                design=design,
                first=i == 0,
            )
            for i, features in enumerate(widths)
        )
        self.final = with_border(
            nn.Sequential(nn.Conv2d(encodings[-1], 1, 3, padding=1)), design.border
        )

    def skips(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return S of each map (N, C, H, W), with its ring, coarsest first."""
        return [step.skip(features) for step, features in zip(self.steps, maps, strict=True)]

    def share(self, skips: Sequence[Tensor]) -> list[Tensor]:
        """Return what windows share of S (N, k_s, H + 2, W + 2) of each map."""
        return [
            step.share(skip, self.execution) for step, skip in zip(self.steps, skips, strict=True)
        ]

    def windows(
        self, skips: Sequence[Tensor], index: Tensor, at_once: int
    ) -> Iterator[list[Tensor]]:
        """Yield what windows share of each map, under some windows after the other.

        Only what lies in the box around all these windows is made.

        Args:
            skips: S (k_s, H + 2, W + 2) of each map of one image.
            index: (K, 2) y and x of the windows on the grid of the coarsest map, K > 0.
            at_once: how many windows to yield together.
        """
        sides = [self.kernel * 2**i for i in range(len(skips))]
        boxes = [
            box_around(x, index, side=side + WIDER, step=2**i)
            for i, (x, side) in enumerate(zip(skips, sides, strict=True))
        ]
        shared = [x[0] for x in self.share([x[None] for x in boxes])]
        ring = 0 if self.execution == "refactored" else WIDER
        for some in torch.split(index - index.amin(0), at_once):
            yield [
                crop_windows(x, some, side=side + ring, step=2**i)
                for i, (x, side) in enumerate(zip(shared, sides, strict=True))
            ]

    def masks(
        self, vectors: Tensor, skips: Sequence[Tensor], index: Tensor, at_once: int
    ) -> Tensor:
        """Return the mask logits (K, V, U) of windows of one image; see :meth:`windows`.

        Args:
            vectors: (K, C) of the windows.
            skips: S (k_s, H + 2, W + 2) of each map.
            index: (K, 2) y and x of the windows on the grid of the coarsest map, K > 0.
            at_once: how many windows to refine together.
        """
        windows = self.windows(skips, index, at_once)
        some = torch.split(vectors, at_once)
        return torch.cat([self(v, under) for v, under in zip(some, windows, strict=True)])

    def forward(self, vectors: Tensor, windows: Sequence[Tensor]) -> Tensor:
        """Return the mask logits (K, V, U) of vectors (K, C) and what is shared under them."""
        weight, bias, side = self.encode.weight.flatten(1), self.encode.bias, self.kernel
        mask = F.linear(vectors, weight, bias).reshape(len(vectors), -1, side, side)
        for step, shared in zip(self.steps, windows, strict=True):
            mask = step(mask, shared, self.execution)
        return self._last(mask)[:, 0]

    def _last(self, mask: Tensor) -> Tensor:
        """Return the logits (K, 1, V, U) of the last module's M', still to be doubled."""
        if self.execution == "refactored":
            return convolve(mask, self.final[0], self.doubling, self.border)
        logits: Tensor = self.final(channels_last(doubled(mask, self.doubling)))
        return logits


def convolve(x: Tensor, conv: nn.Conv2d, doubling: Upsample | None, border: Border) -> Tensor:
    """Convolve a map (N, C, H, W), or the map that it gives when doubled, by 3x3."""
    if doubling is not None and border == "symmetric":  # whose edge stays an edge when doubled
        return convolve_doubled(x, conv.weight, conv.bias, doubling)
    x = x if doubling is None else doubled(x, doubling)
    return F.conv2d(channels_last(pad_border(x, RING, border)), conv.weight, conv.bias)
