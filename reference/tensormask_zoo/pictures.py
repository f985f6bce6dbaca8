"""Pictures: predictions beside ground truth, and the curves of a run."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.utils import draw_bounding_boxes, draw_segmentation_masks, make_grid, save_image

from tensormask_zoo.files import replacing

PALETTE = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#42d4f4", "#f032e6", "#bfef45")
SMALLEST_SIDE_PX = 256  # smaller images are enlarged, so that labels stay legible
PROGRESS = ("step", "epoch", "images/s", "ETA min")  # columns of a run that are no losses
TRUTH_HALF = "left: ground truth, right: predictions"


def overlay(
    image: Tensor,
    masks: Tensor,
    boxes: Tensor,
    labels: Sequence[str],
    *,
    opacity: float = 0.55,
) -> Tensor:
    """Draw objects over an image.

    Args:
        image: RGB (3, H, W) in [0, 1].
        masks: (N, H, W) bool.
        boxes: (N, 4) XYXY px.
        labels: N captions.
        opacity: of the masks.

    Returns:
        RGB (3, H', W') in [0, 1], enlarged where the image is small.
    """
    scale = max(1, -(-SMALLEST_SIDE_PX // min(image.shape[-2:])))
    canvas = _enlarge(image.float(), scale)
    if len(masks):
        colours = [PALETTE[n % len(PALETTE)] for n in range(len(masks))]
        large = _enlarge(masks, scale).bool()
        canvas = draw_segmentation_masks(canvas, large, alpha=opacity, colors=colours)
        solid = boxes.float() * scale
        canvas = draw_bounding_boxes(canvas, solid, labels=list(labels), colors=colours)
    return canvas


def comparison(
    images: Sequence[Tensor],
    targets: Sequence[dict[str, Tensor]],
    predictions: Sequence[dict[str, Tensor]],
    class_names: Sequence[str],
    *,
    score_threshold: float = 0.5,
) -> Tensor:
    """Return a picture with, per image, ground truth on the left and predictions on the right."""
    tiles = []
    for image, target, found in zip(images, targets, predictions, strict=True):
        tiles.append(draw_truth(image, target, class_names))
        tiles.append(draw_predictions(image, found, class_names, score_threshold=score_threshold))
    return pairs(tiles)


def pairs(tiles: Sequence[Tensor]) -> Tensor:
    """Return tiles (3, H, W) of any sizes as one picture, two pairs in a row."""
    height = max(tile.shape[-2] for tile in tiles)
    width = max(tile.shape[-1] for tile in tiles)
    padded = [
        torch.nn.functional.pad(t, (0, width - t.shape[-1], 0, height - t.shape[-2]), value=1.0)
        for t in tiles
    ]
    picture: Tensor = make_grid(padded, nrow=4, padding=6, pad_value=1.0)
    return picture


def draw_truth(image: Tensor, target: dict[str, Tensor], class_names: Sequence[str]) -> Tensor:
    """Draw the objects of an image with their classes."""
    names = [class_names[label - 1] for label in target["labels"].tolist()]
    return overlay(image, target["masks"].bool(), target["boxes"], names)


def draw_predictions(
    image: Tensor,
    found: dict[str, Tensor],
    class_names: Sequence[str],
    *,
    score_threshold: float = 0.5,
) -> Tensor:
    """Draw the detections above ``score_threshold``, as the model returns them."""
    kept = found["scores"] >= score_threshold
    captions = [
        f"{class_names[label - 1]} {score:.2f}"
        for label, score in zip(
            found["labels"][kept].tolist(), found["scores"][kept].tolist(), strict=True
        )
    ]
    return overlay(image, found["masks"][kept, 0] >= 0.5, found["boxes"][kept], captions)


def save_picture(picture: Tensor, path: Path) -> Path:
    """Write a picture (3, H, W) in [0, 1] as PNG."""
    with replacing(path) as beside:
        save_image(picture.clamp(0, 1), beside, format="png")
    return path


def save_curves(
    metrics_csv: Path, path: Path, metrics: Sequence[str] = ("mask AP", "mask AP50")
) -> Path:
    """Draw the losses and some metrics of a run from what its CSV logger wrote."""
    import matplotlib  # noqa: PLC0415  (slow to import, and needed once per run)

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  (as above, after the choice of canvas)

    rows = list(csv.DictReader(metrics_csv.open()))
    figure, (losses, measured) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for name in _losses(rows):
        losses.plot(*_smoothed(_column(rows, name)), label=name)
    losses.set(xlabel="iteration", ylabel="loss", yscale="log")
    for name in metrics:
        measured.plot(*_column(rows, f"val/{name}"), marker="o", label=name)
    measured.set(xlabel="iteration", ylabel="held-back images", ylim=(0, 1))
    for axes in (losses, measured):
        axes.grid(alpha=0.3)
        axes.legend()
    with replacing(path) as beside:
        figure.savefig(beside, format="png", dpi=120)
    plt.close(figure)
    return path


def _losses(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the columns that are losses: all that are neither metrics nor the run's progress."""
    names = rows[0] if rows else {}
    return [name for name in names if name not in PROGRESS and not name.startswith("val/")]


def _enlarge(x: Tensor, scale: int) -> Tensor:
    return x.repeat_interleave(scale, dim=-2).repeat_interleave(scale, dim=-1)


def _column(rows: list[dict[str, Any]], name: str) -> tuple[np.ndarray, np.ndarray]:
    points = [(int(row["step"]), float(row[name])) for row in rows if row.get(name)]
    steps, values = zip(*points, strict=True) if points else ((), ())
    return np.array(steps), np.array(values)


def _smoothed(
    curve: tuple[np.ndarray, np.ndarray], points: int = 60
) -> tuple[np.ndarray, np.ndarray]:
    """Average neighbouring values, to at most ``points`` of them."""
    steps, values = curve
    groups = np.array_split(np.arange(len(steps)), min(points, max(len(steps), 1)))
    return (
        np.array([steps[g].mean() for g in groups if len(g)]),
        np.array([values[g].mean() for g in groups if len(g)]),
    )
