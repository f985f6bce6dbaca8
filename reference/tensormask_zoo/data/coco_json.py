"""Read and check the JSON of a data set in COCO format (https://cocodataset.org/#format-data)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tensormask_zoo.data.segmentation import problem_of
from tensormask_zoo.data.skipped import Skipped

Entry = dict[str, Any]

NEEDED: dict[str, tuple[str, ...]] = {
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("image_id", "category_id"),
    "categories": ("id", "name"),
}


@dataclass(frozen=True, slots=True)
class CocoIndex:
    """Checked content: images, the usable annotations of each, categories sorted by id."""

    images: list[Entry]
    annotations: dict[int, list[Entry]]
    categories: list[Entry]


def read_coco_json(path: Path, skipped: Skipped) -> CocoIndex:
    """Read an annotation file and sort its annotations by image.

    Args:
        path: The JSON file.
        skipped: Takes the annotations that cannot be used: of unknown images or categories, with
            broken polygons or run lengths, without area.

    Returns:
        The images, the usable annotations by image id, the categories by rising id.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Not JSON, or keys are missing, or two images have one id.
    """
    document = _read_document(path)
    _check_keys(path, document)
    images = {image["id"]: image for image in document["images"]}
    if len(images) < len(document["images"]):
        raise ValueError(
            f"{path}: expected one id per image, got repeated ids: {_repeated(document['images'])}"
        )
    categories = sorted(document["categories"], key=lambda category: int(category["id"]))
    known = {category["id"] for category in categories}
    annotations: dict[int, list[Entry]] = {image_id: [] for image_id in images}
    for position, annotation in enumerate(document["annotations"]):
        reason = _reason_to_skip(annotation, images, known)
        if reason:
            skipped.add(reason, name_of(annotation, position))
        else:
            annotations[annotation["image_id"]].append(annotation)
    return CocoIndex(list(images.values()), annotations, categories)


def name_of(annotation: Entry, position: int | None = None) -> str:
    """Name an annotation in a message by its id, or by its place when it has none."""
    return f"annotation {annotation.get('id', f'number {position}')}"


def _read_document(path: Path) -> Any:
    """Parse the file."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f"expected a COCO annotation file at {path}, found none") from None
    except ValueError as error:  # also text that is not UTF-8
        raise ValueError(f"{path}: expected COCO JSON, got text that is none: {error}") from None


def _check_keys(path: Path, document: Any) -> None:
    """Name the first key that is missing."""
    found = sorted(document) if isinstance(document, dict) else type(document).__name__
    for section, keys in NEEDED.items():
        if not isinstance(document, dict) or not isinstance(document.get(section), list):
            raise ValueError(f"{path}: expected a list '{section}' in COCO JSON, got {found}")
        for position, entry in enumerate(document[section]):
            missing = [key for key in keys if key not in entry]
            if missing:
                name = entry.get("id", f"number {position}")
                raise ValueError(
                    f"{path}: expected {missing} in {section} {name}, got {sorted(entry)}"
                )


def _reason_to_skip(annotation: Entry, images: dict[int, Entry], known: set[int]) -> str | None:
    """Say why an annotation cannot be used, or None."""
    image = images.get(annotation["image_id"])
    if image is None:
        return "annotation of an unknown image"
    if annotation["category_id"] not in known:
        return "annotation of an unknown category"
    return problem_of(annotation.get("segmentation"), (image["height"], image["width"]))


def _repeated(images: Sequence[Entry]) -> list[int]:
    """List ids that occur more than once."""
    ids = [image["id"] for image in images]
    return sorted({image_id for image_id in ids if ids.count(image_id) > 1})
