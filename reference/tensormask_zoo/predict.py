"""Run a trained model on picture files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tensormask_zoo.calibration import PICTURED_PRECISION, Calibration
from tensormask_zoo.data.picture import PictureError, read_picture
from tensormask_zoo.detector import Detector
from tensormask_zoo.evaluation import ImageResult
from tensormask_zoo.files import write_json
from tensormask_zoo.image_batching import size_of
from tensormask_zoo.pictures import draw_predictions, save_picture
from tensormask_zoo.proposals.pictures import draw_best
from tensormask_zoo.runs import calibration_of, checkpoint_of
from tensormask_zoo.tensormask.results import as_torchvision

PICTURED_SCORE = 0.5  # where scores are not calibrated


@torch.no_grad()
def predict_files(
    run: Path, images: Sequence[Path], output: Path, score_threshold: float | None = None
) -> Iterator[Path]:
    """Yield the paths written: an overlay per picture, then ``predictions.json``.

    Args:
        run: folder of a run of ``train.py``.
        images: pictures of any size and format that Pillow reads.
        output: folder to write to.
        score_threshold: lowest score of the detections drawn, in a run that ``evaluate.py`` has
            calibrated the lowest precision; by default 0.5, or 0.6 in a calibrated run. The JSON
            holds all detections and their scores as they are, with the number of the picture as
            its image id, which the overlay's name begins with. Of proposals the ten best are drawn
            that do not repeat each other.

    Raises:
        FileNotFoundError: the run has no checkpoint.
        PictureError: names the pictures that could not be read, after all others are written.
    """
    detector = Detector.load_from_checkpoint(
        checkpoint_of(run), map_location="cpu", weights_only=True
    ).eval()
    calibration = _calibration(run)
    records: list[dict[str, Any]] = []
    unreadable = []
    for number, path in enumerate(images):
        try:
            image = read_picture(path)
        except PictureError as error:
            unreadable.append(f"{path}: {error}")
            continue
        ((found, masks),) = detector.model.detect([image])
        result = ImageResult.of(found, masks, image)
        if detector.results_are == "proposals":
            shown = draw_best(image, result, score_threshold=score_threshold or 0.0)
        else:
            drawn = as_torchvision(found, masks, size_of(image))
            shown = _draw(image, drawn, detector.class_names, calibration, score_threshold)
        for record in result.records(number):
            record["segmentation"]["counts"] = record["segmentation"]["counts"].decode()
            records.append(record | {"file_name": path.name})
        yield save_picture(shown, output / f"{number:03d}_{path.stem}.png")
    yield write_json(records, output / "predictions.json")
    if unreadable:
        raise PictureError("; ".join(unreadable))


def _draw(
    image: Tensor,
    drawn: dict[str, Tensor],
    class_names: Sequence[str],
    calibration: Calibration | None,
    threshold: float | None,
) -> Tensor:
    """Draw detections, calibrated where that is known."""
    if calibration:
        drawn["scores"] = calibration(drawn["scores"], drawn["labels"])
    if threshold is None:
        threshold = PICTURED_PRECISION if calibration else PICTURED_SCORE
    return draw_predictions(image, drawn, class_names, score_threshold=threshold)


def _calibration(run: Path) -> Calibration | None:
    """Read the calibrated scores of a run, if it has any."""
    path = calibration_of(run)
    return Calibration.read(path) if path.exists() else None
