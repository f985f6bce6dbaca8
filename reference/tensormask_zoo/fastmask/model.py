"""FastMask: segment proposals of all scales from one pass over one image (Hu et al., 2017)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tensormask_core import WindowGrid
from tensormask_core.grid_level import IntArray
from tensormask_zoo.fastmask.bodies import StreamBody
from tensormask_zoo.fastmask.heads import WindowHead
from tensormask_zoo.fastmask.learning import Learning, Learnt
from tensormask_zoo.fastmask.longest_side import LongestSide
from tensormask_zoo.fastmask.losses import cell_loss, score_loss
from tensormask_zoo.fastmask.proposals import PROPOSALS, best_windows, suppress
from tensormask_zoo.fastmask.targets import check_targets
from tensormask_zoo.fastmask.windows import WindowNorm, WindowTable, window_grid
from tensormask_zoo.image_batching import ImageSize, Target, check_images, size_of
from tensormask_zoo.tensormask.postprocess import Detections, PostProcess
from tensormask_zoo.tensormask.results import WindowMasks, as_torchvision, boxes_of_masks, rescale

Proposals = tuple[Detections, list[WindowMasks]]
CHUNK = 256  # windows of the published size: 13 MB


class FastMask(nn.Module):
    """A class-agnostic proposal network that speaks torchvision's detection API.

    Objects are found from about half to two thirds of a window's side; smaller and larger ones
    are background. Windows reach over the borders, so an image may be smaller than any of them.

    Args:
        body: one map per stream.
        neck: halves a map; shared by all streams and scales.
        head: scores and masks of windows.
        zooms: how often the neck is applied to each stream in training. A stream gives one scale
            more than that: (3, 2) are 7 scales. Fewer entries than streams cut streams off.
        eval_zooms: the same in evaluation, where the weights allow any; ``zooms`` if left out.
        learning: which windows are trained and how.
        mask_threshold: from which probability on a pixel belongs to a mask; 0.2 as released.
            Masks are returned such that 0.5 stands for it.
        limits: thresholds and counts of the proposals, what :data:`PROPOSALS` says unless given.
        batching: ``longest_side``, ``train_sides``, ``image_mean`` and ``image_std`` of
            :class:`LongestSide`.

    Raises:
        ValueError: more entries in ``zooms`` than streams, none, or ``mask_threshold`` is no
            probability.

    Attributes:
        chunk: windows that the head sees at a time in evaluation; bounds the memory.
    """

    def __init__(
        self,
        body: StreamBody,
        neck: nn.Module,
        head: WindowHead,
        *,
        zooms: Sequence[int] = (3, 2),
        eval_zooms: Sequence[int] | None = None,
        learning: Learning | None = None,
        mask_threshold: float = 0.2,
        limits: PostProcess | Mapping[str, Any] | None = None,
        **batching: Any,
    ) -> None:
        super().__init__()
        if not 0 < mask_threshold < 1:
            raise ValueError(
                f"mask_threshold expects a probability in (0, 1), got {mask_threshold}"
            )
        self.body, self.neck, self.head = body, neck, head
        self.reduction = nn.Conv2d(body.channels, head.channels, 1, bias=False)
        self.window_norm = WindowNorm(head.channels)
        self.zooms = self._checked_zooms(zooms)
        self.eval_zooms = self._checked_zooms(zooms if eval_zooms is None else eval_zooms)
        self.learning = learning or Learning()
        self.threshold_logit = math.log(mask_threshold / (1 - mask_threshold))
        self.limits = (
            limits if isinstance(limits, PostProcess) else replace(PROPOSALS, **(limits or {}))
        )
        self.chunk = CHUNK
        self.transform = LongestSide(size_divisible=body.stride, **batching)

    def set_eval_zooms(self, *zooms: int) -> None:
        """Add or remove necks for evaluation, and streams: (3, 3) are 8 scales, (3,) are 4.

        Raises:
            ValueError: no stream, more streams than the body has, or a negative number of necks.
        """
        self.eval_zooms = self._checked_zooms(zooms)

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of the maps in the present mode, ascending, in px: the receptive units."""
        zooms = self.zooms if self.training else self.eval_zooms
        scales = zip(self.body.strides, zooms, strict=False)
        return tuple(sorted(base * 2**k for base, zoom in scales for k in range(zoom + 1)))

    def grid(self, image_size: ImageSize) -> WindowGrid:
        """Return where the windows of an image of (H, W) px are, a level per map."""
        return window_grid(image_size, self.strides, self.head.window)

    def forward(
        self, images: list[Tensor], targets: list[Target] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Return losses in training mode, proposals in evaluation mode.

        Args:
            images: RGB (3, H, W) in [0, 1], of any sizes.
            targets: in training, per image ``boxes`` (N, 4) XYXY px, ``masks`` (N, H, W) and
                optionally ``iscrowd`` (N,); labels are not looked at.

        Returns:
            ``loss_score``, ``loss_mask`` and, with attention, ``loss_attention``; or per image
            ``boxes``, ``labels`` (all 1), ``scores`` and ``masks`` (D, 1, H, W) in [0, 1], best
            first.

        Raises:
            TypeError: an image is not of floating point.
            ValueError: training without a target for each image, a target whose boxes and masks
                differ in number, or an image that is not RGB.
        """
        check_images(images)
        if self.training:
            return self.losses(images, list(check_targets(targets, len(images))))
        return [
            as_torchvision(*result, size_of(image))
            for result, image in zip(self.detect(images), images, strict=True)
        ]

    def maps(self, images: Tensor) -> dict[int, Tensor]:
        """Return the reduced maps (N, C, h, w) of a normalised batch by stride, ascending."""
        zooms = self.zooms if self.training else self.eval_zooms
        found = {}
        streams = self.body(images, len(zooms))
        for stream, zoom, stride in zip(streams, zooms, self.body.strides, strict=False):
            x = stream
            for k in range(zoom + 1):
                x = self.neck(x) if k else x
                found[stride * 2**k] = self.reduction(x)
        return dict(sorted(found.items()))

    def window_table(self, images: Tensor, image_sizes: Sequence[ImageSize]) -> WindowTable:
        """Return what all windows of a normalised batch see, calibrated by the window norm."""
        maps = self.maps(images)
        table = WindowTable.of(list(maps.values()), image_sizes, list(maps), self.head.window)
        calibrated: WindowTable = self.window_norm(table)
        return calibrated

    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """Return the losses of a batch; the head runs on the sampled windows only."""
        batch, targets = self.transform(images, targets)
        table = self.window_table(batch.tensors, batch.image_sizes)
        learnt = [
            self.learning.of(self.grid(size), target, self.head)
            for size, target in zip(batch.image_sizes, targets, strict=True)
        ]
        windows = table.windows(torch.cat([one.rows(table, n) for n, one in enumerate(learnt)]))
        positive = torch.cat([one.positive for one in learnt]).to(windows.device)
        return {
            "loss_score": score_loss(self.head.score(windows), positive) / self._divisor(learnt),
            **self._mask_losses(windows[positive], learnt),
        }

    def _mask_losses(self, windows: Tensor, learnt: list[Learnt]) -> dict[str, Tensor]:
        """Return the losses of windows with objects (P, V, U, C)."""
        attention, attended = self.head.attend(windows)
        # Strides differ here; a stride of 1 counts in cells of each window's own map.
        masks = self.head.masks(attended, stride=1).data[..., 0, 0]
        divisor = self._divisor(learnt, positive=True)
        found = {"loss_mask": cell_loss(masks, torch.cat([one.masks for one in learnt])) / divisor}
        if attention is not None:
            goals = torch.cat([one.attention for one in learnt])
            found["loss_attention"] = cell_loss(attention, goals) / divisor
        return found

    def _divisor(self, learnt: list[Learnt], *, positive: bool = False) -> int:
        if self.learning.divide_by == "windows":
            return sum(len(one.grid) for one in learnt)
        samples = (one.sample for one in learnt)
        return max(1, sum(len(s.object if positive else s.window) for s in samples))

    @torch.no_grad()
    def detect(self, images: list[Tensor]) -> list[Proposals]:
        """Return proposals with their window masks, in the coordinates of ``images``.

        Boxes are those of the masks; proposals without a single mask pixel are dropped. Every
        window is scored, only the best are decoded.
        """
        check_images(images)
        results: list[Proposals | None] = [None] * len(images)
        for rows, batch in self.transform.batches(images):
            table = self.window_table(batch.tensors, batch.image_sizes)
            for n, row in enumerate(rows):
                size, resized = size_of(images[row]), batch.image_sizes[n]
                found = rescale(*self._propose(table, n, resized), resized, size)
                results[row] = suppress(*found, size, self.limits)
        return [result for result in results if result is not None]

    def _propose(self, table: WindowTable, image: int, size: ImageSize) -> Proposals:
        """Return the proposals of one image of a batch, in the coordinates of its batch."""
        grid = self.grid(size)
        everything = np.arange(len(grid), dtype=np.int64)
        logits = [self.head.score(w) for w in self._windows(table, image, grid, everything)]
        best, scores = best_windows(torch.cat(logits), self.limits)
        order = best.cpu().numpy()
        masks = list(self._masks(table, image, grid, order))
        boxes = scores.new_zeros((len(best), 4))
        for group in masks:
            boxes[group.rows] = boxes_of_masks(group.probabilities >= 0.5, group.boxes)
        return Detections(boxes, torch.ones_like(best), scores, best), masks

    def _masks(
        self, table: WindowTable, image: int, grid: WindowGrid, window: IntArray
    ) -> Iterator[WindowMasks]:
        """Yield the masks of windows, all of one level at once."""
        level = grid.unravel(window).level
        for k in np.unique(level).tolist():
            rows = np.flatnonzero(level == k)
            stride = grid.levels[k].sigma_hw
            decoded = [
                self.head.masks(self.head.attend(w)[1], stride=stride).data[..., 0, 0].float()
                for w in self._windows(table, image, grid, window[rows])
            ]
            logits = torch.cat(decoded)
            boxes = torch.from_numpy(grid.boxes(window[rows])).to(logits)
            probabilities = (logits - self.threshold_logit).sigmoid()
            yield WindowMasks(torch.from_numpy(rows).to(logits.device), probabilities, boxes)

    def _windows(
        self, table: WindowTable, image: int, grid: WindowGrid, window: IntArray
    ) -> Iterator[Tensor]:
        """Yield what windows see (K, V, U, C), so many at a time."""
        for start in range(0, len(window), self.chunk):
            place = grid.unravel(window[start : start + self.chunk])
            yield table.windows(table.rows(image, place))

    def _checked_zooms(self, zooms: Sequence[int]) -> tuple[int, ...]:
        streams = len(self.body.branches)
        if not 0 < len(zooms) <= streams or min(zooms) < 0:
            raise ValueError(
                f"zooms expects one number of necks for each of 1 to {streams} streams, "
                f"got {tuple(zooms)}"
            )
        return tuple(zooms)
