"""A trained system in numbers: recall, its curves, contours and cost."""

from __future__ import annotations

import time
from collections.abc import Sized
from itertools import islice
from statistics import median
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from tensormask_zoo.command_line import ZooCLI
from tensormask_zoo.comparison.memory import peak_bytes
from tensormask_zoo.evaluation import MISSING, ImageResult
from tensormask_zoo.proposals.baseline import window_recall
from tensormask_zoo.proposals.evaluator import ProposalEvaluator
from tensormask_zoo.proposals.recall import RecallCurves


@torch.no_grad()
def measure(cli: ZooCLI, images: int | None = None) -> dict[str, Any]:
    """Return ``scores`` in percent (None: no object to find), ``curves`` by kind, and ``cost``.

    Images are taken one by one, and each is timed from pixels to run lengths; the first is the
    warm-up. Nothing is kept of an image but what its proposals match.

    Args:
        cli: model, data and trainer.
        images: how many of the first validation images are taken; None for all.
    """
    detector = cli.model.to(cli.trainer.strategy.root_device).eval()
    evaluator = ProposalEvaluator(boundary=True, own_boxes=not detector.class_agnostic)

    def propose(image: Tensor) -> ImageResult:
        with cli.trainer.strategy.precision_plugin.forward_context():
            ((found, masks),) = detector.model.detect([image.to(detector.device)])
        return ImageResult.of(found, masks, image)

    seconds = []
    data = cli.datamodule.val_set
    count = _count(data, images)
    for image, target in tqdm(islice(data, count), detector.hparams["name"], count):
        start = time.perf_counter()
        proposals = propose(image)
        seconds.append(time.perf_counter() - start)
        evaluator.add(proposals, target)
    return {
        "images": count,
        "scores": {name: _percent(value) for name, value in evaluator.compute().items()},
        "curves": {kind: _as_json(curve) for kind, curve in evaluator.curves().items()},
        "cost": {
            "seconds": median(seconds[1:] or seconds),
            "parameters": sum(p.numel() for p in detector.model.parameters()),
            "peak_bytes": peak_bytes(lambda: propose(image), detector.device),
            "device": detector.device.type,
            "threads": torch.get_num_threads(),
        },
    }


def measure_windows(cli: ZooCLI, images: int | None = None) -> dict[str, Any]:
    """Return ``images`` and ``scores`` of sliding windows, which need no network.

    Each count of proposals has a grid of its own, so that nothing is known of curves: None.

    Args:
        cli: data.
        images: as for :func:`measure`.
    """
    data = cli.datamodule.val_set
    count = _count(data, images)
    found = window_recall(target for _, target in islice(data, count))
    unknown = dict.fromkeys(ProposalEvaluator(boundary=True).compute())
    return {"images": count, "scores": unknown | {k: _percent(v) for k, v in found.items()}}


def _count(data: Sized, images: int | None) -> int:
    return min(images or len(data), len(data))


def _percent(value: float) -> float | None:
    return None if value == MISSING else 100 * value


def _as_json(curves: RecallCurves) -> dict[str, Any]:
    return {name: getattr(curves, name).tolist() for name in ("counts", "thresholds", "recall")}
