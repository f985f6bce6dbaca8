"""Proposals on disk: COCO results, streamed."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tensormask_core.masks import encode, tight_boxes
from tensormask_zoo.data.shapes import Shapes
from tensormask_zoo.data.write_coco import write_coco
from tensormask_zoo.evaluation import ImageResult
from tensormask_zoo.proposals import files
from tensormask_zoo.proposals.evaluator import ProposalEvaluator
from tensormask_zoo.proposals.files import Proposals, read_proposals, write_proposals
from tensormask_zoo.proposals.from_files import evaluate_files
from tensormask_zoo.proposals.sliding_windows import sliding_windows

SHAPES = Shapes(length=3, seed=2)


def some(count: int, n: int = 4) -> Iterator[Proposals]:
    for image_id in range(count):
        yield image_id, sliding_windows((40, 60), n)


def same(a: ImageResult, b: ImageResult) -> bool:
    return a.rles == b.rles and np.allclose(a.boxes, b.boxes) and np.allclose(a.scores, b.scores)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_proposals(tmp_path / "new", some(3))
    read = list(read_proposals(tmp_path / "new"))
    assert [image_id for image_id, _ in read] == [0, 1, 2]
    assert all(same(a, b) for (_, a), (_, b) in zip(read, some(3), strict=True))


def test_files_hold_so_many_images(tmp_path: Path) -> None:
    paths = write_proposals(tmp_path, some(5), images_per_file=2)
    assert [path.name for path in paths] == [f"proposals-000{n}.json" for n in range(3)]
    ids = [{record["image_id"] for record in json.loads(path.read_text())} for path in paths]
    assert ids == [{0, 1}, {2, 3}, {4}]


def test_pycocotools_loads_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools.coco import COCO  # noqa: PLC0415  (an optional dependency)

    (path,) = write_proposals(tmp_path / "found", some(2))
    truth = COCO()
    truth.dataset = {"info": {}, "images": [{"id": 0}, {"id": 1}], "annotations": [],
                     "categories": [{"id": 1}]}  # fmt: skip
    truth.createIndex()
    assert len(truth.loadRes(str(path)).anns) == 8


def test_the_best_are_written_first_and_no_more_than_asked(tmp_path: Path) -> None:
    masks = np.stack([np.eye(8, k=k) for k in range(4)])
    result = ImageResult(tight_boxes(masks), np.full(4, 3), np.array([0.1, 0.9, 0.4, 0.9]),
                         encode(masks))  # fmt: skip
    write_proposals(tmp_path, [(7, result)], limit=3)
    ((_, read),) = read_proposals(tmp_path)
    assert read.rles == [result.rles[k] for k in (1, 3, 2)]
    assert read.labels.tolist() == [1, 1, 1]


def test_an_image_without_proposals_leaves_no_record(tmp_path: Path) -> None:
    nothing = ImageResult(np.zeros((0, 4)), np.zeros(0), np.zeros(0), [])
    (path,) = write_proposals(tmp_path, [(1, nothing)])
    assert json.loads(path.read_text()) == list(read_proposals(path)) == []


def test_an_interrupted_run_leaves_whole_files_only(tmp_path: Path) -> None:
    def failing() -> Iterator[Proposals]:
        yield from some(3)
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        write_proposals(tmp_path, failing(), images_per_file=2)
    assert [path.name for path in tmp_path.iterdir()] == ["proposals-0000.json"]


def test_two_runs_do_not_mix(tmp_path: Path) -> None:
    write_proposals(tmp_path, some(1))
    with pytest.raises(FileExistsError, match=r"proposals-0000\.json"):
        write_proposals(tmp_path, some(1))


def test_memory_does_not_grow_with_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BLOCK", 1 << 14)
    result = sliding_windows((480, 640), 300)
    peaks = []
    for images in (2, 12):
        folder = tmp_path / str(images)
        tracemalloc.start()
        write_proposals(folder, ((n, result) for n in range(images)))
        for _ in read_proposals(folder):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
def test_lists_are_read_in_any_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(files, "BLOCK", block)
    mask = {"size": [2, 2], "counts": "22"}
    records = [{"image_id": 9, "score": 1e-3, "segmentation": mask},
               {"image_id": 4, "score": 1, "segmentation": mask, "bbox": [0, 1, 2, 3]}]  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(records, indent=2))
    (first, one), (second, other) = read_proposals(tmp_path / "a.json")
    assert (first, one.boxes.tolist(), one.scores.tolist()) == (9, [[1, 0, 2, 2]], [1e-3])
    assert (second, other.boxes.tolist()) == (4, [[0, 1, 2, 4]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": []}', "a JSON list of COCO results, got"),
        ('[{"image_id": 1, "score": 0.1, "segme', "expected more COCO results"),
        ('[{"image_id": 1, "bbox": [0, 0, 1, 1]}]', "'score', 'segmentation'"),
        ('[{"image_id": 1, "score": 1, "segmentation": [[0, 0, 1, 1]]}]', "compressed RLE, got"),
        ("[3]", "got 3"),
        ("", "got ''"),
    ],
)
def test_what_are_no_proposals_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "broken.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        list(read_proposals(tmp_path / "broken.json"))


def test_scattered_records_of_an_image_are_refused(tmp_path: Path) -> None:
    mask = {"size": [2, 2], "counts": "22"}
    records = [{"image_id": n, "score": 1, "segmentation": mask} for n in (1, 2, 1)]
    (tmp_path / "a.json").write_text(json.dumps(records))
    with pytest.raises(ValueError, match="image 1 again; sort"):
        list(read_proposals(tmp_path / "a.json"))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"proposals-\*\.json"):
        list(read_proposals(tmp_path))


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: Any) -> Path:
    return write_coco(SHAPES, tmp_path_factory.mktemp("shapes"))


def windows(k: int) -> ImageResult:
    image, _ = SHAPES[k]
    return sliding_windows(image.shape[-2:], 200, shape="ellipse")


def test_files_score_what_the_results_score(tmp_path: Path, annotations: Path) -> None:
    evaluator = ProposalEvaluator()
    for k in range(3):
        evaluator.add(windows(k), SHAPES[k][1])
    write_proposals(tmp_path, ((SHAPES[k][1]["image_id"], windows(k)) for k in range(3)))
    assert evaluate_files(tmp_path, annotations).compute() == pytest.approx(evaluator.compute())


def test_an_image_without_records_counts(tmp_path: Path, annotations: Path) -> None:
    _, target = SHAPES[0]
    perfect = ImageResult(target["boxes"].numpy(), target["labels"].numpy(),
                          np.ones(len(target["labels"])), encode(target["masks"]))  # fmt: skip
    write_proposals(tmp_path, [(target["image_id"], perfect)])
    objects = [len(SHAPES[k][1]["labels"]) for k in range(3)]
    found = evaluate_files(tmp_path, annotations).compute()
    assert found["mask AR@10"] == pytest.approx(objects[0] / sum(objects))
    alone = evaluate_files(tmp_path, annotations, images=[target["image_id"]]).compute()
    assert alone["mask AR@10"] == 1.0


def test_unknown_images_are_refused(tmp_path: Path, annotations: Path) -> None:
    with pytest.raises(ValueError, match=r"images \[12345\]"):
        evaluate_files(tmp_path, annotations, images=[12345])


def test_proposals_of_another_data_set_are_refused(tmp_path: Path, annotations: Path) -> None:
    write_proposals(tmp_path, [(12345, windows(0))])
    with pytest.raises(ValueError, match="image 12345 is not among"):
        evaluate_files(tmp_path, annotations)
