"""What a model is measured by: average precision of detections, or average recall of proposals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from tensormask_zoo.evaluation import CocoEvaluator, ImageResult
from tensormask_zoo.evaluation import table as detection_table
from tensormask_zoo.proposals.evaluator import ProposalEvaluator
from tensormask_zoo.proposals.evaluator import table as proposal_table

EvaluateAs = Literal["detections", "proposals"]
TABLED = ("AR@10", "AR@100", "AR@1000", "AUC", "ARS@100", "ARM@100", "ARL@100", "AR max")
"""What the table of proposals has room for; the log has all that the papers report."""


class Evaluator(Protocol):
    """Collects images, over all devices, and computes metrics."""

    def __len__(self) -> int:
        """Return how many images there are."""

    def reset(self) -> None:
        """Forget all images."""

    def add(self, result: ImageResult, target: dict[str, Any]) -> None:
        """Add an image."""

    def gather(self) -> None:
        """Take the images of all devices."""

    def compute(self) -> dict[str, float]:
        """Return metrics by name."""


@dataclass(frozen=True)
class Measure:
    """How a kind of results is measured and shown.

    Attributes:
        evaluator: makes one of class names, the number of results that count, and whether
            the model predicts boxes beside masks.
        table: metrics as text.
        curves: metrics that the learning curve shows; the first is the one to look at.
    """

    evaluator: Callable[[Sequence[str], int, bool], Evaluator]
    table: Callable[[dict[str, float]], str]
    curves: tuple[str, ...]


def shown(metrics: Mapping[str, float]) -> str:
    """Return the table of proposals: recall of masks and of boxes, in percent.

    Example:
        >>> print(shown({"mask AR@10": 0.25, "mask VOC@10": 0.5}))
               AR@10
        mask    25.0
    """
    named = {name: value for name, value in metrics.items() if name.split(" ", 1)[1] in TABLED}
    return proposal_table(named)


MEASURES: dict[EvaluateAs, Measure] = {
    "detections": Measure(
        lambda names, count, _: CocoEvaluator(names, max_detections=count),
        detection_table,
        ("mask AP", "mask AP50"),
    ),
    "proposals": Measure(
        lambda _, __, own_boxes: ProposalEvaluator(own_boxes=own_boxes),
        shown,
        ("mask AR@100", "mask AR@10"),
    ),
}
