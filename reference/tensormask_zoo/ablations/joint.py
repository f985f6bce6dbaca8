"""All rows of a table in one training: TensorMasks that share a trunk.

Each row is a whole :class:`TensorMask`. All have one backbone; those whose windows, rule and boxes
are alike have one class and box head, too, so that their detections are the same and only the
masks differ. The loss is the mean of the rows' own losses: a head is trained by its own row alone
(Adam takes no notice of the factor), the backbone by all rows in equal parts. Keeping the masks'
gradient from the backbone instead lowered every row, by 0.1 to 1.0 AP after 500 iterations on
generated images, and changed no order.

The bipyramid's rows are most of the corrections, so the backbone serves bipyramids and feature
pyramids about equally. A row with a head of its own kind (two window sizes, another rule, no box
head) has detections of its own, so its differences hold more chance than those of mask heads alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from tensormask_zoo.ablations.shared_losses import summed_losses
from tensormask_zoo.image_batching import Target, size_of
from tensormask_zoo.models import MODELS
from tensormask_zoo.tensormask import TensorMask
from tensormask_zoo.tensormask.postprocess import Detections, NmsBoxes
from tensormask_zoo.tensormask.results import WindowMasks

Reading = tuple[str, NmsBoxes]
Found = list[tuple[Detections, list[WindowMasks]]]  # one per image


def joint(
    *,
    num_classes: int,
    base: str,
    rows: Mapping[str, Mapping[str, Any]],
    readings: Mapping[str, Reading] | None = None,
) -> Joint:
    """Build rows that share a trunk: a model as :data:`tensormask_zoo.models.MODELS` has them.

    Args:
        num_classes: object classes.
        base: name of the model in :data:`tensormask_zoo.models.MODELS` that rows vary.
        rows: its settings by name of the row.
        readings: see :class:`Joint`.
    """
    models = {
        name: MODELS[base](num_classes=num_classes, **settings) for name, settings in rows.items()
    }
    return Joint(models, readings)


class Joint(nn.Module):
    """TensorMasks that share a backbone and, where they are alike, a class and box head.

    Args:
        rows: the models by name. The backbone, and the class and box head, of all but the first of
            a kind, are replaced by the first one's.
        readings: further rows by name, which train nothing: the row whose weights they have, and
            the boxes that their NMS compares. Those of rows that are not there are left out.

    Example:
        >>> from tensormask_zoo.models import tensormask_small_fpn
        >>> rows = {name: tensormask_small_fpn(num_classes=2, head=name, sigma_vu=4)
        ...         for name in ("simple_natural", "bipyramid")}
        >>> joint = Joint(rows).eval()
        >>> {name: len(found) for name, found in joint.detect([torch.zeros(3, 64, 64)]).items()}
        {'simple_natural': 1, 'bipyramid': 1}
    """

    def __init__(
        self, rows: Mapping[str, TensorMask], readings: Mapping[str, Reading] | None = None
    ) -> None:
        super().__init__()
        self.rows = dict(rows)
        self.models = nn.ModuleList(rows.values())
        self.kinds: defaultdict[Any, list[TensorMask]] = defaultdict(list)
        for model in rows.values():
            self.kinds[_kind(model)].append(model)
            model.backbone = self.first.backbone
            model.class_box_head = self.kinds[_kind(model)][0].class_box_head
        self.readings = {
            name: with_nms(rows[row], boxes)
            for name, (row, boxes) in (readings or {}).items()
            if row in rows
        }

    @property
    def first(self) -> TensorMask:
        """The row whose backbone all share."""
        return next(iter(self.rows.values()))

    def forward(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """Return the mean over all rows of TensorMask's losses."""
        batch, targets = self.first.transform(images, targets)
        features = self.first.backbone(batch.tensors)
        total: dict[str, Tensor] = {}
        for kind in self.kinds.values():
            summed = summed_losses(kind, features, size_of(batch.tensors), targets)
            for name, value in summed.items():
                total[name] = total.get(name, 0) + value / len(self.rows)
        return total

    @torch.no_grad()
    def detect(self, images: list[Tensor]) -> dict[str, Found]:
        """Return for every row and reading what :meth:`TensorMask.detect` returns."""
        heads = (kind[0].class_box_head for kind in self.kinds.values())
        with ExitStack() as each:
            for module in (self.first.backbone, *heads):
                each.enter_context(once_per_input(module))
            detectors = self.rows | self.readings
            return {name: model.detect(images) for name, model in detectors.items()}


@contextmanager
def once_per_input(module: nn.Module) -> Iterator[None]:
    """Let ``module`` compute the result of an input once, however often it is asked."""
    results: list[tuple[Tensor, Any]] = []
    compute = module.forward

    def forward(x: Tensor | list[Tensor], **options: Any) -> Any:
        key = x if isinstance(x, Tensor) else x[0]
        for known, result in results:
            if known is key or torch.equal(known, key):
                return result
        results.append((key, compute(x, **options)))
        return results[-1][1]

    module.forward = forward
    try:
        yield
    finally:
        del module.forward  # the class's own is found again


def with_nms(model: TensorMask, boxes: NmsBoxes) -> TensorMask:
    """Return the same model, weights shared, that suppresses by other boxes (appendix A.4)."""
    other = copy(model)
    other.limits = replace(model.limits, nms=boxes)
    return other


def _kind(model: TensorMask) -> tuple[Any, ...]:
    """Return what a class and box head, and what it is trained on, depend on."""
    windows = tuple(tuple(window) for window in model.mask_head.windows)
    return windows, model.rule, model.class_box_head.deltas is None
