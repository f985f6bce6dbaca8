"""Write samples as COCO JSON and PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image

from tensormask_core.masks import encode
from tensormask_zoo.data.sample import Sample, Target
from tensormask_zoo.files import replacing, write_json


class NamedSamples(Protocol):
    """A data set that knows the names of its classes."""

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the labels 1..K, in that order."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...


def write_coco(dataset: NamedSamples, folder: str | Path) -> Path:
    """Write every sample as `images/*.png` and all objects as `annotations/instances.json`.

    Masks are written as compressed RLE, category ids are the labels 1..K. Each file is written
    beside its place and then renamed, the JSON last: an interrupted run leaves no half file and
    no JSON that lists images which are not there.

    Args:
        dataset: Such as `Shapes`; its images are (3, H, W) in [0, 1].
        folder: Made when absent; files of the same names are replaced.

    Returns:
        The path of the JSON.

    Example:
        >>> import tempfile
        >>> from tensormask_zoo.data.shapes import Shapes
        >>> write_coco(Shapes(length=2), tempfile.mkdtemp()).name
        'instances.json'
    """
    folder = Path(folder)
    document: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    for label, name in enumerate(dataset.class_names, start=1):
        document["categories"].append({"id": label, "name": name})
    for index in range(len(dataset)):
        image, target = dataset[index]
        entry = _write_image(image, folder / "images" / f"{index:06d}.png", target["image_id"])
        document["images"].append(entry)
        document["annotations"] += _annotations(target, first_id=len(document["annotations"]) + 1)
    return write_json(document, folder / "annotations" / "instances.json")


def _write_image(image: torch.Tensor, path: Path, image_id: int) -> dict[str, Any]:
    """Write one PNG and return its entry of the JSON."""
    pixels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()  # (H, W, 3)
    with replacing(path) as beside:
        Image.fromarray(pixels).save(beside, format="PNG")
    height, width = pixels.shape[:2]
    return {"id": image_id, "file_name": path.name, "height": height, "width": width}


def _annotations(target: Target, first_id: int) -> list[dict[str, Any]]:
    """Turn the objects of one image into COCO annotations."""
    rles, area = encode(target["masks"]), target["area"].tolist()
    columns = zip(rles, target["boxes"].tolist(), target["labels"].tolist(), strict=True)
    crowd = target["iscrowd"].tolist()
    return [
        {
            "id": first_id + k,
            "image_id": target["image_id"],
            "category_id": label,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": area[k],
            "iscrowd": crowd[k],
            "segmentation": {**rle, "counts": rle["counts"].decode("ascii")},  # JSON holds text
        }
        for k, (rle, (x0, y0, x1, y1), label) in enumerate(columns)
    ]
