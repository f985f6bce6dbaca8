"""What a run shows at its end: the COCO table, an overlay and the curves, with their paths."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import torch

from tensormask_zoo.calibration import PICTURED_PRECISION, Calibration
from tensormask_zoo.command_line import ZooCLI
from tensormask_zoo.evaluation import CocoEvaluator, ImageResult, table
from tensormask_zoo.pictures import TRUTH_HALF, comparison, save_curves, save_picture
from tensormask_zoo.tensormask import TensorMask
from tensormask_zoo.tensormask.ceiling import ceiling_of

PICTURED_IMAGES = 8
PICTURED_SCORE = 0.4  # FL* sharpens by 3 in training alone, so scores stay closer to 1/2


def report(cli: ZooCLI, run: Path) -> None:
    """Print the table and the paths of the pictures of a trained model, which go to ``run``."""
    print(f"\nvalidation images, {cli.trainer.global_step} iterations\n{cli.model.results()}")
    print(f"\nceiling (true windows and targets, pasted)\n{ceiling(cli)}\n")
    print(f"overlay ({TRUTH_HALF}): {draw_overlay(cli, run / 'overlay.png')}")
    metrics = run / "metrics.csv"
    if metrics.exists():
        print(f"learning curve: {save_curves(metrics, run / 'curves.png')}")
    print(f"run: {run}")


@torch.no_grad()
def draw_overlay(cli: ZooCLI, path: Path, calibration: Calibration | None = None) -> Path:
    """Save predictions beside ground truth for the first validation images.

    With a calibration the pictures show calibrated scores, from the paper's threshold on.
    """
    model = cli.model.eval()
    images, targets = zip(*islice(cli.datamodule.val_set, PICTURED_IMAGES), strict=True)
    with cli.trainer.strategy.precision_plugin.forward_context():
        found = model.model([image.to(model.device) for image in images])
    found = [{name: value.float().cpu() for name, value in one.items()} for one in found]
    for one in found:
        one["labels"] = one["labels"].long()
        if calibration:
            one["scores"] = calibration(one["scores"], one["labels"])
    threshold = PICTURED_PRECISION if calibration else PICTURED_SCORE
    picture = comparison(images, targets, found, model.class_names, score_threshold=threshold)
    return save_picture(picture, path)


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
