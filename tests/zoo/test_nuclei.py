"""The nuclei of the Data Science Bowl, brought into COCO format from a made folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tensormask_core.masks import decode
from tensormask_zoo.data.coco_module import CocoData
from tensormask_zoo.data.nuclei import convert, main

SIZE = (12, 16)  # H, W


def picture(folder: Path, name: str, boxes: list[tuple[int, int, int, int]]) -> None:
    """One picture with a rectangular nucleus per box (y0, x0, y1, x1)."""
    for part in ("images", "masks"):
        (folder / name / part).mkdir(parents=True)
    rgba = np.full((*SIZE, 4), 90, np.uint8)
    Image.fromarray(rgba).save(folder / name / "images" / f"{name}.png")
    for k, (y0, x0, y1, x1) in enumerate(boxes):
        mask = np.zeros(SIZE, np.uint8)
        mask[y0:y1, x0:x1] = 255
        Image.fromarray(mask).save(folder / name / "masks" / f"{name}_{k}.png")


@pytest.fixture
def stage1(tmp_path: Path) -> Path:
    folder = tmp_path / "stage1_train"
    for k in range(10):
        picture(folder, f"cell{k}", [(1, 2, 5, 9), (6, 0, 12, 4)])
    return folder


def documents(folder: Path) -> list[dict]:
    return [
        json.loads((folder / "annotations" / f"instances_{split}.json").read_text())
        for split in ("train", "val")
    ]


def test_a_fifth_is_kept_for_validation(stage1: Path, tmp_path: Path) -> None:
    convert(stage1, tmp_path / "out")
    names = [{image["file_name"] for image in doc["images"]} for doc in documents(tmp_path / "out")]
    assert [len(part) for part in names] == [8, 2]
    assert names[0].isdisjoint(names[1])


def test_the_seed_decides_the_split(stage1: Path, tmp_path: Path) -> None:
    splits = []
    for number, seed in enumerate((0, 0, 1)):
        convert(stage1, tmp_path / str(number), seed=seed)
        splits.append([i["file_name"] for i in documents(tmp_path / str(number))[1]["images"]])
    assert splits[0] == splits[1] != splits[2]


def test_annotations_hold_the_masks(stage1: Path, tmp_path: Path) -> None:
    convert(stage1, tmp_path / "out")
    first = documents(tmp_path / "out")[0]["annotations"][0]
    assert (first["bbox"], first["area"]) == ([2, 1, 7, 4], 28)
    (mask,) = decode([first["segmentation"]])
    assert mask[1:5, 2:9].all()
    assert mask.sum() == 28


def test_a_run_reads_the_result(stage1: Path, tmp_path: Path) -> None:
    main([str(stage1), str(tmp_path / "out")])
    data = CocoData(root=str(tmp_path / "out"))
    assert (len(data.train_set), len(data.val_set)) == (8, 2)
    assert data.val_set[0][1]["masks"].shape == (2, *SIZE)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no picture", r"1 x mask \(unreadable\) \(bad.png\)"),
        (np.zeros(SIZE, np.uint8), r"1 x mask \(empty\) \(bad.png\)"),
        (np.ones((3, 3), np.uint8), r"1 x mask \(other size\) \(bad.png\)"),
    ],
)
def test_a_bad_mask_is_counted(
    stage1: Path, tmp_path: Path, content: bytes | np.ndarray, reason: str
) -> None:
    path = stage1 / "cell3" / "masks" / "bad.png"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        Image.fromarray(content).save(path)
    with pytest.warns(UserWarning, match=reason):
        convert(stage1, tmp_path / "out")
    assert sum(len(doc["annotations"]) for doc in documents(tmp_path / "out")) == 20


def test_a_truncated_picture_is_counted(stage1: Path, tmp_path: Path) -> None:
    path = stage1 / "cell3" / "images" / "cell3.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.warns(UserWarning, match=r"1 x truncated or unreadable image \(cell3.png\)"):
        convert(stage1, tmp_path / "out")
    assert not (tmp_path / "out" / "images" / "cell3.png").exists()


def test_no_half_written_files_stay(stage1: Path, tmp_path: Path) -> None:
    convert(stage1, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.part"))


def test_a_folder_without_pictures_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        convert(tmp_path, tmp_path / "out")
