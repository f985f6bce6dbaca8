"""The zoo needs torch: without it these tests are skipped, or fail where torch is required."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

NEEDED = ("torch", "torchvision", "lightning", "jsonargparse", "matplotlib", "pycocotools")
MISSING = [name for name in NEEDED if find_spec(name) is None]
REQUIRED = "torch" in os.environ.get("TENSORMASK_REQUIRE_BACKENDS", "").split(",")


class UnavailableModule(pytest.Module):
    """A test file that is not imported."""

    def collect(self) -> Any:
        reason = f"the zoo needs {', '.join(MISSING)}: pip install 'tensormask-core[zoo]'"
        if REQUIRED:
            pytest.fail(f"{reason} (TENSORMASK_REQUIRE_BACKENDS lists torch)", pytrace=False)
        pytest.skip(reason)


def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> pytest.Module | None:
    if not MISSING:
        return None
    return UnavailableModule.from_parent(parent, path=module_path)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute in one thread: on maps as small as here, threads mostly wait for each other."""
    import torch  # noqa: PLC0415  (may be absent)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def coco_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of COCO 2017 with two images per split."""
    from tensormask_zoo.data.shapes import Shapes  # noqa: PLC0415  (may lack what it needs)
    from tensormask_zoo.data.write_coco import write_coco  # noqa: PLC0415  (as above)

    root = tmp_path_factory.mktemp("coco")
    (root / "annotations").mkdir()
    for seed, split in enumerate(("train2017", "val2017")):
        written = write_coco(
            Shapes(length=2, seed=seed, image_size=(48, 64)), root / f"{split}-all"
        )
        written.rename(root / "annotations" / f"instances_{split}.json")
        (root / f"{split}-all" / "images").rename(root / split)
    return root


@pytest.fixture(scope="session")
def objects() -> Callable[..., dict[str, Any]]:
    """Return a function that makes the target of objects which fill their boxes."""
    import torch  # noqa: PLC0415  (may be absent)

    def make(
        boxes: Sequence[Sequence[float]], image_size: tuple[int, int] = (64, 96), **more: Any
    ) -> dict[str, Any]:
        masks = torch.zeros(len(boxes), *image_size, dtype=torch.uint8)
        for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
            mask[int(y0) : int(y1), int(x0) : int(x1)] = 1
        target = {
            "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            "labels": torch.arange(len(boxes)) % 3 + 1,
            "masks": masks,
            "area": masks.sum(dim=(1, 2)).float(),
        }
        return target | {name: torch.as_tensor(value) for name, value in more.items()}

    return make


@pytest.fixture(scope="session")
def detector() -> Any:
    """Return an untrained model of three classes that detects much, in evaluation mode."""
    import torch  # noqa: PLC0415  (may be absent)

    from tensormask_zoo.models import tensormask_small_fpn  # noqa: PLC0415  (as above)

    torch.manual_seed(0)
    model = tensormask_small_fpn(num_classes=3, limits={"score_threshold": 0.3, "detections": 20})
    head = model.class_box_head
    with torch.no_grad():
        for conv, gain in ((head.logits, 60.0), (head.deltas, 10.0), (model.mask_head.cells[0], 9)):
            conv.weight *= gain
    return model.eval()
