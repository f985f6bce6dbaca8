"""What do 100 masks cost, sparsely and as published: all masks of all levels, then pick?

Run `python benchmarks/bench_mask_branch.py`; README.md describes the method. Windows are drawn as
the levels hold them. "dense" makes every level's natural masks before it picks, which takes the
memory of V x U values for each node of the finest grid, six times; both must give the same masks.
They are measured from the pyramid levels on, towers and all, and from the fused mask features on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from _detectors import Scene, tensormask
from _harness import Contender, Row, compare
from _machine import available_cores, set_threads
from _results import Options, finish, parse_options
from torch import Tensor

from tensormask_zoo.tensormask.mask_head import MaskHead
from tensormask_zoo.tensormask.mask_tensors import Group, MaskTensors
from tensormask_zoo.tensormask.targets import Windows

TRUNK, SIZE = "resnet50", (800, 1333)
QUICK_TRUNK, QUICK_SIZE = "resnet18", (32, 64)
TOLERANCE = 1e-4  # logits

Features = list[Tensor]
Way = Callable[[], list[Tensor]]


class Ready(MaskTensors):
    """Mask tensors from features that are there already."""

    def __init__(self, head: MaskHead, features: Features) -> None:
        super().__init__(head, [], torch.empty(0))
        self._features = features

    def features(self, level: int) -> Tensor:
        """Return the features of a level."""
        return self._features[level]

    def every_mask(self, groups: Sequence[Group]) -> list[Tensor]:
        """Return the masks of each group."""
        return [self.masks(*group) for group in groups]


def features_of(head: MaskHead, levels: Sequence[Tensor], stem: Tensor) -> Features:
    """Return the fused features of all levels."""
    finest = head.finest(levels[0], stem)
    return [head.features(level, finest, k) for k, level in enumerate(levels)]


def dense(head: MaskHead, features: Features, windows: Windows) -> list[Tensor]:
    """Evaluate all masks of all levels, as published, then pick those of ``windows``."""
    masks = [
        [head.dense(head.predict(level, size, k), k).data for size in range(len(head.windows))]
        for k, level in enumerate(features)
    ]
    picked = []
    for k, size, rows in windows.groups():
        n, y, x = windows.index(rows).T
        picked.append(masks[k][size].permute(0, 3, 4, 1, 2)[n, y, x])
    return picked


def sparse(tensors: MaskTensors, windows: Windows) -> list[Tensor]:
    """Evaluate the masks of ``windows`` only."""
    return tensors.every_mask(
        [(k, size, windows.index(rows)) for k, size, rows in windows.groups()]
    )


def measure(scene: Scene, options: Options) -> list[Row]:
    """Measure both, from the levels and from the features on."""
    model = tensormask(scene).eval()
    head = model.mask_head
    ((_, batch),) = model.transform.batches(scene.images(1))
    levels, stem = model.backbone(batch.tensors)
    features = features_of(head, levels, stem)
    grid = model.grid((batch.tensors.shape[-2], batch.tensors.shape[-1]))
    generator = torch.Generator().manual_seed(0)
    window = torch.randint(len(grid), (scene.detections,), generator=generator).to(scene.device)
    windows = Windows.of(grid, torch.zeros_like(window), window, torch.zeros_like(window))
    ways: dict[str, dict[str, Way]] = {
        "levels": {
            "dense": lambda: dense(head, features_of(head, levels, stem), windows),
            "sparse": lambda: sparse(MaskTensors(head, levels, stem), windows),
        },
        "features": {
            "dense": lambda: dense(head, features, windows),
            "sparse": lambda: sparse(Ready(head, features), windows),
        },
    }
    check_same(ways["levels"]["sparse"](), ways["features"]["dense"]())
    height, width = scene.size
    case = {"H": height, "W": width, "windows": len(grid), "K": scene.detections}
    return [
        row
        for start, both in ways.items()
        for row in compare(
            {"from": start, **case},
            [Contender(name, way) for name, way in both.items()],
            options.repeats,
            options.clock,
            options.peak_bytes,
        )
    ]


def check_same(found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    """Refuse to compare ways that disagree."""
    for one, other in zip(found, expected, strict=True):
        if not torch.allclose(one, other, rtol=0, atol=TOLERANCE):
            raise RuntimeError(f"masks differ by {float((one - other).abs().max()):g}")


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_options(
        "mask_branch",
        __doc__,
        arguments,
        repeats=5,
        devices=("cpu", "cuda"),
        threads=(available_cores(),),
    )
    set_threads(options.threads[0])
    trunk, size = (QUICK_TRUNK, QUICK_SIZE) if options.quick else (TRUNK, SIZE)
    with torch.no_grad():
        rows = measure(Scene(size, trunk, options.device), options)
    finish(options, __doc__, rows)


if __name__ == "__main__":
    main()
