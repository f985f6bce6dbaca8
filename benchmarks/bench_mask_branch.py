"""What do 100 masks cost, sparsely and as published: all masks of all levels, then pick?

Run `python benchmarks/bench_mask_branch.py`; README.md describes the method. Windows are drawn as
the levels hold them. "dense" makes every level's natural masks before it picks, which takes the
memory of V x U values for each node of the finest grid, six times; both must give the same masks.
"tower" is what both begin with, the mask features of the finest level.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from _detectors import DETECTIONS, Scene, tensormask
from _harness import Contender, Row, compare
from _machine import set_threads
from _results import Options, finish, parse_options
from torch import Tensor

from tensormask_zoo.tensormask import TensorMask
from tensormask_zoo.tensormask.mask_tensors import MaskTensors
from tensormask_zoo.tensormask.targets import Windows

TRUNK, SIZE = "resnet50", (800, 1333)
QUICK_TRUNK, QUICK_SIZE = "resnet18", (32, 64)
TOLERANCE = 1e-4  # logits

Features = tuple[list[Tensor], Tensor]


def dense(model: TensorMask, features: Features, windows: Windows) -> list[Tensor]:
    """Evaluate all masks of all levels, as published, then pick those of ``windows``."""
    levels, stem = features
    head = model.mask_head
    finest = head.finest(levels[0], stem)
    masks = [
        [head.dense(tensor, k).data for tensor in head(level, finest, k)]
        for k, level in enumerate(levels)
    ]
    picked = []
    for level, size, rows in windows.groups():
        n, y, x = windows.index(rows).T
        picked.append(masks[level][size].permute(0, 3, 4, 1, 2)[n, y, x])
    return picked


def sparse(model: TensorMask, features: Features, windows: Windows) -> list[Tensor]:
    """Evaluate the masks of ``windows`` only."""
    tensors = MaskTensors(model.mask_head, *features)
    return [
        tensors.masks(level, size, windows.index(rows)) for level, size, rows in windows.groups()
    ]


def measure(scene: Scene, options: Options) -> list[Row]:
    """Measure both, and what they begin with."""
    model = tensormask(scene).eval()
    ((_, batch),) = model.transform.batches(scene.images(1))
    features = model.backbone(batch.tensors)
    grid = model.grid((batch.tensors.shape[-2], batch.tensors.shape[-1]))
    generator = torch.Generator().manual_seed(0)
    window = torch.randint(len(grid), (DETECTIONS,), generator=generator).to(scene.device)
    windows = Windows.of(grid, torch.zeros_like(window), window, torch.zeros_like(window))
    ways: dict[str, Callable[[], list[Tensor]]] = {
        "dense": lambda: dense(model, features, windows),
        "sparse": lambda: sparse(model, features, windows),
        "tower": lambda: [model.mask_head.tower(features[0][0])],
    }
    check_same(ways["sparse"](), ways["dense"]())
    case = {"H": scene.size[0], "W": scene.size[1], "windows": len(grid), "K": DETECTIONS}
    contenders = [Contender(name, way) for name, way in ways.items()]
    return compare(case, contenders, options.repeats, options.clock, options.peak_bytes)


def check_same(found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    """Refuse to compare ways that disagree."""
    for one, other in zip(found, expected, strict=True):
        if not torch.allclose(one, other, rtol=0, atol=TOLERANCE):
            raise RuntimeError(f"masks differ by {float((one - other).abs().max()):g}")


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_options(
        "mask_branch", __doc__, arguments, repeats=5, devices=("cpu", "cuda"), threads=(2,)
    )
    set_threads(options.threads[0])
    trunk, size = (QUICK_TRUNK, QUICK_SIZE) if options.quick else (TRUNK, SIZE)
    with torch.no_grad():
        rows = measure(Scene(size, trunk, options.device), options)
    finish(options, __doc__, rows)


if __name__ == "__main__":
    main()
