"""Proposals on disk as COCO results, written and read image by image."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain, count, groupby, islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from tensormask_zoo.evaluation import ImageResult
from tensormask_zoo.files import replacing
from tensormask_zoo.proposals.truth import Record, boxes_of, xywh_to_xyxy

Proposals = tuple[int, ImageResult]

BLOCK = 1 << 20  # characters read at a time
SEPARATORS = re.compile(r"[\s,]*")


def write_proposals(
    folder: str | Path,
    proposals: Iterable[Proposals],
    *,
    limit: int = 1000,
    images_per_file: int = 500,
) -> list[Path]:
    """Write proposals as they come; no more than one image's are held at a time.

    The files are COCO results, ``proposals-0000.json`` and so on, in chunks of 500 images as the
    published ones. Every file is whole or absent.

    Args:
        folder: Made when absent.
        proposals: image ids with their proposals in pixels of the original image, such as a
            generator that runs the model.
        limit: proposals per image, the best.
        images_per_file: at least 1.

    Returns:
        The paths.

    Raises:
        FileExistsError: there are proposals in the folder; two runs must not mix.

    Example:
        >>> import tempfile
        >>> from tensormask_zoo.proposals.sliding_windows import sliding_windows
        >>> folder = tempfile.mkdtemp()
        >>> paths = write_proposals(folder, [(7, sliding_windows((40, 60), 5))])
        >>> [(image_id, len(found.rles)) for image_id, found in read_proposals(folder)]
        [(7, 5)]
    """
    folder = Path(folder)
    if old := _files(folder):
        raise FileExistsError(f"{folder} holds proposals already: {old[0].name}; choose another")
    pending, paths = iter(proposals), []
    for number in count():
        first = next(pending, None)
        if first is None:
            break
        path = folder / f"proposals-{number:04d}.json"
        with replacing(path) as beside, beside.open("w") as file:
            _write(file, chain([first], islice(pending, images_per_file - 1)), limit)
        paths.append(path)
    return paths


def read_proposals(path: str | Path) -> Iterator[Proposals]:
    """Yield image ids with their proposals, in the order of the files.

    Args:
        path: a JSON of COCO results with masks, of any origin, or a folder that
            :func:`write_proposals` wrote. Without ``bbox``, boxes are those of the masks.

    Raises:
        FileNotFoundError: there is no such file, or none in the folder.
        ValueError: not COCO results, or the records of an image are not all together. Images are
            yielded up to there.
    """
    path = Path(path)
    paths = _files(path) if path.is_dir() else [path]
    if not paths:
        raise FileNotFoundError(f"expected proposals-*.json in {path}, found none")
    seen: set[int] = set()
    records = chain.from_iterable(map(_records, paths))
    for image_id, group in groupby(records, key=lambda record: int(record["image_id"])):
        if image_id in seen:
            raise ValueError(
                f"{path}: expected the records of an image together, got image {image_id} again; "
                "sort the records by image_id"
            )
        seen.add(image_id)
        yield image_id, _result(list(group))


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("proposals-*.json"))


def _write(file: TextIO, images: Iterable[Proposals], limit: int) -> None:
    """Write a JSON list with one record per line."""
    before = "[\n"
    for image_id, result in images:
        best = np.argsort(-result.scores, kind="stable")[:limit]
        records = result.records(image_id)
        for row in best:
            file.write(before + json.dumps(_as_text(records[row])))
            before = ",\n"
    file.write("\n]\n" if before != "[\n" else "[]\n")


def _as_text(record: Record) -> Record:
    """Return a record whose mask JSON can hold, class-agnostic: category 1."""
    rle = record["segmentation"]
    packed = {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")}
    return {**record, "category_id": 1, "segmentation": packed}


def _records(path: Path) -> Iterator[Record]:
    """Yield the records of a JSON list without reading it whole."""
    decoder = json.JSONDecoder()
    with path.open() as file:
        text = file.read(BLOCK).lstrip()
        if not text.startswith("["):
            raise ValueError(f"{path}: expected a JSON list of COCO results, got {text[:40]!r}")
        at = 1
        while True:
            at = SEPARATORS.match(text, at).end()  # type: ignore[union-attr]  # matches anything
            if text.startswith("]", at):
                return
            try:
                record, at = decoder.raw_decode(text, at)
            except ValueError as error:
                more = file.read(BLOCK)
                if not more:
                    raise ValueError(f"{path}: expected more COCO results: {error}") from None
                text, at = text[at:] + more, 0
            else:
                yield _checked(record, path)


def _checked(record: Any, path: Path) -> Record:
    """Return a record that has what proposals need."""
    needed = {"image_id", "score", "segmentation"}
    if not isinstance(record, dict) or not needed <= record.keys():
        found = sorted(record) if isinstance(record, dict) else record
        raise ValueError(f"{path}: expected results with {sorted(needed)}, got {found}")
    mask = record["segmentation"]
    if not isinstance(mask, dict) or not isinstance(mask.get("counts"), str):
        raise ValueError(f"{path}: expected masks as compressed RLE, got {str(mask)[:60]}")
    return record


def _result(records: list[Record]) -> ImageResult:
    """Return the proposals of one image."""
    rles = [_as_bytes(record["segmentation"]) for record in records]
    known = all("bbox" in record for record in records)
    boxes = xywh_to_xyxy([r["bbox"] for r in records]) if known else boxes_of(rles)
    labels = np.array([record.get("category_id", 1) for record in records], np.int64)
    return ImageResult(boxes, labels, np.array([r["score"] for r in records], np.float64), rles)


def _as_bytes(rle: Record) -> Record:
    return {"size": list(rle["size"]), "counts": rle["counts"].encode("ascii")}
