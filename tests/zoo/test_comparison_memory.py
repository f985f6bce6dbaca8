"""Memory: what comparing 1000 proposals per image keeps, and what one call takes."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tensormask_core.masks import encode
from tensormask_zoo.comparison import memory
from tensormask_zoo.evaluation import ImageResult
from tensormask_zoo.proposals import files
from tensormask_zoo.proposals.files import Proposals, write_proposals
from tensormask_zoo.proposals.from_files import evaluate_files
from tensormask_zoo.proposals.sliding_windows import sliding_windows

SIZE = (48, 64)
COUNT = 1000
KEPT_BYTES = 20_000  # per image, by an evaluator; its 1000 proposals take twenty times as much


def some_proposals(found: ImageResult) -> ImageResult:
    """Return 1000 proposals that share no memory with those of another image."""
    order = np.arange(COUNT) % len(found.rles)
    counts = (bytes(bytearray(found.rles[n]["counts"])) for n in order)
    rles = [{"size": [*SIZE], "counts": one} for one in counts]
    return ImageResult(found.boxes[order], found.labels[order], np.linspace(1, 0, COUNT), rles)


def annotations(path: Path, images: int) -> Path:
    """Write images of one object each."""
    mask = np.zeros((1, *SIZE), np.uint8)
    mask[:, :16, :16] = 1  # a window at the corner
    (rle,) = encode(mask)
    segmentation = {**rle, "counts": rle["counts"].decode("ascii")}
    ids = range(1, images + 1)
    common = {"category_id": 1, "iscrowd": 0, "segmentation": segmentation}
    document = {
        "images": [
            {"id": n, "file_name": f"{n}.png", "height": SIZE[0], "width": SIZE[1]} for n in ids
        ],
        "annotations": [
            {"id": n, "image_id": n, "bbox": [0, 0, 16, 16], "area": 256} | common for n in ids
        ],
        "categories": [{"id": 1, "name": "thing"}],
    }
    path.write_text(json.dumps(document))
    return path


def peak_of(folder: Path, images: int) -> int:
    """Return the most memory that writing, reading and matching proposals takes."""
    folder.mkdir()
    truth = annotations(folder / "truth.json", images)

    windows = sliding_windows(SIZE, 200, sides_px=[8.0, 16.0])

    def stream() -> Iterator[Proposals]:
        for image_id in range(1, images + 1):
            yield image_id, some_proposals(windows)

    tracemalloc.start()
    try:
        write_proposals(folder / "found", stream(), limit=COUNT, images_per_file=4)
        found = evaluate_files(folder / "found", truth).compute()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found["mask AR@1000"] > 0
    return peak


def test_published_counts_of_proposals_fit_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BLOCK", 1 << 14)
    peak_of(tmp_path / "warm", 1)  # modules and plans that stay
    few, many = (peak_of(tmp_path / str(images), images) for images in (3, 13))
    assert (many - few) / 10 < KEPT_BYTES  # of 5000 images: 100 MB


def test_the_peak_of_a_call_is_what_it_holds_at_once() -> None:
    size = 64 << 20

    def twice() -> None:
        for _ in range(2):
            np.ones(size, np.uint8)

    device = torch.device("cpu")
    assert memory.peak_bytes(twice, device) == pytest.approx(size, rel=0.1)
    assert memory.peak_bytes(lambda: None, device) < size / 10


def test_without_proc_python_s_own_count_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_CLEAR_REFS", Path("absent"))
    size = 1 << 20
    assert memory.peak_bytes(lambda: bytearray(size), torch.device("cpu")) >= size
