"""What a run shows at its end: its table, what to compare it with, pictures and their paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tensormask_zoo.calibration import PICTURED_PRECISION, Calibration
from tensormask_zoo.command_line import ZooCLI
from tensormask_zoo.evaluation import CocoEvaluator, ImageResult, table
from tensormask_zoo.measures import shown
from tensormask_zoo.pictures import (
    TRUTH_HALF,
    comparison,
    draw_truth,
    pairs,
    save_curves,
    save_picture,
)
from tensormask_zoo.proposals.baseline import window_recall
from tensormask_zoo.proposals.curves import save_recall_curves
from tensormask_zoo.proposals.files import write_proposals
from tensormask_zoo.proposals.pictures import draw_found
from tensormask_zoo.tensormask import TensorMask
from tensormask_zoo.tensormask.ceiling import ceiling_of

PICTURED_IMAGES = 8
PICTURED_SCORE = 0.4  # FL* sharpens by 3 in training alone, so scores stay closer to 1/2
Pictured = Callable[[ZooCLI, Calibration | None], Tensor]


def report(cli: ZooCLI, run: Path) -> None:
    """Print the table and the paths of the pictures of a trained model, which go to ``run``."""
    print(f"\nvalidation images, {cli.trainer.global_step} iterations\n{cli.model.results()}")
    print(f"\n{reference(cli)}\n")
    print(f"overlay ({TRUTH_HALF}): {draw_overlay(cli, run / 'overlay.png')}")
    metrics = run / "metrics.csv"
    if metrics.exists():
        drawn = save_curves(metrics, run / "curves.png", cli.model.measure.curves)
        print(f"learning curve: {drawn}")
    if cli.model.results_are == "proposals":
        print(f"recall curves: {draw_recall(cli, run / 'recall.png')}")
    print(f"run: {run}")


def reference(cli: ZooCLI) -> str:
    """Return a table to compare with: what is possible, or what takes no network."""
    if cli.model.results_are == "proposals":
        windows = window_recall(target for _, target in cli.datamodule.val_set)
        return f"sliding windows, without a network\n{shown(windows)}"
    return f"ceiling (true windows and targets, pasted)\n{ceiling(cli)}"


@torch.no_grad()
def draw_overlay(cli: ZooCLI, path: Path, calibration: Calibration | None = None) -> Path:
    """Save predictions beside ground truth for the first validation images.

    With a calibration the pictures show calibrated scores, from the paper's threshold on. Of
    proposals they show those that found the objects, among the best 100.
    """
    cli.model.eval()
    return save_picture(PICTURED[cli.model.results_are](cli, calibration), path)


def draw_recall(cli: ZooCLI, path: Path) -> Path:
    """Save the recall of the last validation over counts and over IoU, of masks and boxes."""
    curves = {
        f"{cli.model.hparams['name']}, {kind}": curve
        for kind, curve in cli.model.evaluator.curves().items()
    }
    return save_recall_curves(curves, path)


def export_proposals(cli: ZooCLI, folder: Path) -> list[Path]:
    """Write the proposals for all validation images as COCO results, image by image."""
    cli.model.to(cli.trainer.strategy.root_device).eval()
    results = _results(cli, cli.datamodule.val_set)
    return write_proposals(
        folder, ((int(target["image_id"]), found) for _, target, found in results)
    )


def _pictured_detections(cli: ZooCLI, calibration: Calibration | None) -> Tensor:
    model = cli.model
    images, targets = zip(*islice(cli.datamodule.val_set, PICTURED_IMAGES), strict=True)
    with cli.trainer.strategy.precision_plugin.forward_context():
        found = model.model([image.to(model.device) for image in images])
    found = [{name: value.float().cpu() for name, value in one.items()} for one in found]
    for one in found:
        one["labels"] = one["labels"].long()
        if calibration:
            one["scores"] = calibration(one["scores"], one["labels"])
    threshold = PICTURED_PRECISION if calibration else PICTURED_SCORE
    return comparison(images, targets, found, model.class_names, score_threshold=threshold)


def _pictured_proposals(cli: ZooCLI, _: Calibration | None) -> Tensor:
    tiles = []
    first = islice(cli.datamodule.val_set, PICTURED_IMAGES)
    for image, target, found in _results(cli, first):
        tiles.append(draw_truth(image, target, cli.model.class_names))
        tiles.append(draw_found(image, found, target))
    return pairs(tiles)


def _results(cli: ZooCLI, samples: Any) -> Iterator[tuple[Tensor, Any, ImageResult]]:
    """Yield images with their targets and results, one by one."""
    for image, target in samples:
        with torch.no_grad(), cli.trainer.strategy.precision_plugin.forward_context():
            ((found, masks),) = cli.model.model.detect([image.to(cli.model.device)])
        yield image, target, ImageResult.of(found, masks, image)


PICTURED: dict[str, Pictured] = {
    "detections": _pictured_detections,
    "proposals": _pictured_proposals,
}


def ceiling(cli: ZooCLI) -> str:
    """Return the COCO table of true windows and targets on the validation images."""
    detector = cli.model.eval()
    if not isinstance(detector.model, TensorMask):
        name = detector.hparams["name"]
        return f"{name} has none: only sliding windows are fixed before the image is seen"
    evaluator = CocoEvaluator(detector.class_names, max_detections=detector.max_detections)
    for image, target in cli.datamodule.val_set:
        found, masks = ceiling_of(detector.model, image, target)
        evaluator.add(ImageResult.of(found, masks, image), target)
    return table(evaluator.compute())
