"""Bring the nuclei of the 2018 Data Science Bowl (BBBC038, stage 1) into COCO format.

``python -m tensormask_zoo.data.nuclei STAGE1_TRAIN OUTPUT``
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from tensormask_core.masks import encode, tight_boxes
from tensormask_zoo.data.picture import UNREADABLE, PictureError, read_picture
from tensormask_zoo.data.skipped import Skipped
from tensormask_zoo.files import replacing, write_json

SPLITS = ("train", "val")


def convert(source: Path, output: Path, *, val_share: float = 0.2, seed: int = 0) -> list[Path]:
    """Write `images/*.png` and `annotations/instances_{train,val}.json` with compressed RLE.

    Pictures and masks that cannot be used are left out, and counted in a warning. Each file is
    written beside its place and renamed, the JSON files last.

    Args:
        source: Folder of `ID/images/ID.png` and `ID/masks/*.png`, one mask per nucleus.
        output: Made when absent; files of the same names are replaced.
        val_share: Share of the pictures that is kept for validation.
        seed: Which pictures these are.

    Returns:
        The JSON of the training and of the validation pictures.

    Raises:
        FileNotFoundError: `source` holds no such pictures.
    """
    pictures = sorted(source.glob("*/images/*.png"))
    if not pictures:
        raise FileNotFoundError(f"expected ID/images/ID.png in {source}, found none")
    skipped = Skipped(str(source))
    documents = [
        _document(tqdm(chosen, desc=split, unit="image"), output / "images", skipped)
        for split, chosen in zip(SPLITS, _split(pictures, val_share, seed), strict=True)
    ]
    skipped.warn()
    paths = [output / "annotations" / f"instances_{split}.json" for split in SPLITS]
    for path, document in zip(paths, documents, strict=True):
        write_json(document, path)
    return paths


def _split(pictures: Sequence[Path], val_share: float, seed: int) -> tuple[list[Path], list[Path]]:
    """Deal the pictures out, each part in the order of names."""
    order = np.random.default_rng(seed).permutation(len(pictures))
    cut = round(len(pictures) * val_share)
    return [pictures[i] for i in sorted(order[cut:])], [pictures[i] for i in sorted(order[:cut])]


def _document(pictures: Iterable[Path], folder: Path, skipped: Skipped) -> dict[str, Any]:
    """Copy the pictures and return their COCO document."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for path in pictures:
        try:
            height, width = read_picture(path).shape[-2:]
        except PictureError as error:
            skipped.add(str(error), path.name)
            continue
        with replacing(folder / path.name) as beside:
            beside.write_bytes(path.read_bytes())
        image_id = len(images) + 1
        images.append({"id": image_id, "file_name": path.name, "height": height, "width": width})
        for mask in sorted((path.parents[1] / "masks").glob("*.png")):
            found = _annotation(mask, (height, width), skipped)
            if found:
                annotations.append({"id": len(annotations) + 1, "image_id": image_id} | found)
    categories = [{"id": 1, "name": "nucleus"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def _annotation(path: Path, size: tuple[int, int], skipped: Skipped) -> dict[str, Any] | None:
    """Return the annotation of one mask, or None with its reason counted."""
    mask = _read_mask(path)
    if mask is None or mask.shape != size or not mask.any():
        reason = "unreadable" if mask is None else "empty" if mask.shape == size else "other size"
        skipped.add(f"mask ({reason})", path.name)
        return None
    (rle,) = encode(mask[None])
    x0, y0, x1, y1 = tight_boxes(mask[None])[0].tolist()
    return {
        "category_id": 1,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": int(mask.sum()),
        "iscrowd": 0,
        "segmentation": {**rle, "counts": rle["counts"].decode("ascii")},  # JSON holds text
    }


def _read_mask(path: Path) -> NDArray[np.bool_] | None:
    """Return the mask (H, W), None for a file that is no picture."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("L")) > 0
    except UNREADABLE:
        return None


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, metavar="STAGE1_TRAIN")
    parser.add_argument("output", type=Path, metavar="OUTPUT")
    parser.add_argument("--val-share", type=float, default=0.2, help="share kept for validation")
    parser.add_argument("--seed", type=int, default=0, help="which pictures these are")
    options = parser.parse_args(arguments)
    for path in convert(
        options.source, options.output, val_share=options.val_share, seed=options.seed
    ):
        print(path)


if __name__ == "__main__":
    main()
