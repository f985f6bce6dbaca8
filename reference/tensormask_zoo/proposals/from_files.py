"""Evaluate proposals on disk against the annotations of a data set."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np

from tensormask_zoo.data.coco_json import read_coco_json
from tensormask_zoo.data.skipped import Skipped
from tensormask_zoo.evaluation import ImageResult
from tensormask_zoo.proposals.evaluator import ProposalEvaluator
from tensormask_zoo.proposals.files import read_proposals
from tensormask_zoo.proposals.truth import Truth

NOTHING = ImageResult(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0), [])


def evaluate_files(
    proposals: str | Path,
    annotations: str | Path,
    *,
    images: Iterable[int] | None = None,
    evaluator: ProposalEvaluator | None = None,
) -> ProposalEvaluator:
    """Match the proposals of files image by image; no more than one image's are held at a time.

    Args:
        proposals: as :func:`read_proposals` takes.
        annotations: JSON in COCO format.
        images: ids to evaluate, such as the first 5000; by default all of the annotations. An
            image without proposals counts: its objects are not found.
        evaluator: takes the images; a new one by default.

    Returns:
        The evaluator, to be asked for ``compute()`` and ``curves()``.

    Raises:
        FileNotFoundError: one of the files is missing.
        ValueError: a file is broken, or an id of ``images`` or of the proposals is unknown.
    """
    skipped = Skipped(str(annotations))
    content = read_coco_json(Path(annotations), skipped)
    skipped.warn()
    known = {int(image["id"]): image for image in content.images}
    pending = dict.fromkeys(known if images is None else images)
    if unknown := sorted(pending.keys() - known.keys()):
        raise ValueError(f"{annotations}: expected images {unknown[:5]}, found no such ids")
    chosen = evaluator or ProposalEvaluator()
    without = ((image_id, NOTHING) for image_id in list(pending))  # when all others are done
    for image_id, result in chain(read_proposals(proposals), without):
        if image_id not in known:
            raise ValueError(f"{proposals}: image {image_id} is not among those of {annotations}")
        if image_id in pending:
            del pending[image_id]
            truth = Truth.from_annotations(known[image_id], content.annotations[image_id])
            chosen.add(result, truth)
    return chosen
