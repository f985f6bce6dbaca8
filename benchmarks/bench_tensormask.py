"""Does TensorMask cost more than Mask R-CNN: to detect up to run lengths, and to train?

Run `python benchmarks/bench_tensormask.py`; README.md describes the method. Both models have the
same trunk, random weights, 80 classes, 1000 candidates and 100 detections. The stages of TensorMask
are calls of their own; "classes" holds the class tower. In training, 128 regions per image are
positive in Mask R-CNN, which is what a trained proposal network fills its sample with;
"mask_rcnn, first step" has those that random proposals give. Multiply-adds and bytes are counted
along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from _detectors import (
    Scene,
    find_as_many,
    mask_rcnn,
    rles_of_mask_rcnn,
    rles_of_tensormask,
    sample_as_if_trained,
    tensormask,
    training_step,
)
from _harness import Case, Contender, Row
from _machine import available_cores, set_threads
from _operations import compare_and_count
from _results import Options, finish, parse_options
from _stages import stages_of

TRUNK, SIZES = "resnet50", ((480, 640), (800, 1333))
QUICK_TRUNK, QUICK_SIZES = "resnet18", ((32, 64),)
QUICK = {"regions": 8, "detections": 5}
FEW = 2  # repeats of stages, and of training steps: on a CPU they take a minute
BATCH = 2

Work = Callable[[Scene], tuple[Case, list[Contender]]]


def detection(scene: Scene) -> tuple[Case, list[Contender]]:
    """Detect in one image."""
    images = scene.images(1)
    ours, theirs = tensormask(scene).eval(), mask_rcnn(scene).eval()
    find_as_many(theirs, images)
    found = {
        "mask_rcnn": rles_of_mask_rcnn(theirs, images)[0],
        "tensormask": rles_of_tensormask(ours, images)[0],
    }
    contenders = [
        Contender("mask_rcnn", lambda: rles_of_mask_rcnn(theirs, images)),
        Contender("tensormask", lambda: rles_of_tensormask(ours, images)),
    ]
    for name, stage in stages_of(ours, images).items():
        contenders.append(Contender(f"tensormask: {name}", stage, FEW))
    case = _case("detection", scene, 1)
    return case | {f"{name} finds": len(rles) for name, rles in found.items()}, contenders


def training(scene: Scene) -> tuple[Case, list[Contender]]:
    """Make a training step."""
    images, targets = scene.images(BATCH), scene.targets(BATCH)
    theirs, at_first, ours = mask_rcnn(scene), mask_rcnn(scene), tensormask(scene)
    sample_as_if_trained(theirs, scene.regions)
    models = {"mask_rcnn": theirs, "mask_rcnn, first step": at_first, "tensormask": ours}
    contenders = [
        Contender(name, training_step(model.train(), images, targets), FEW)
        for name, model in models.items()
    ]
    return _case("training", scene, BATCH), contenders


def measure(work: Work, scene: Scene, options: Options) -> list[Row]:
    """Measure all contenders of one kind of work, and count their operations."""
    with torch.set_grad_enabled(work is training):
        case, contenders = work(scene)
        return compare_and_count(case, contenders, options)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_options(
        "tensormask",
        __doc__,
        arguments,
        repeats=7,
        devices=("cpu", "cuda"),
        threads=(available_cores(),),
        sizes=SIZES,
    )
    set_threads(options.threads[0])
    trunk, sizes = (QUICK_TRUNK, QUICK_SIZES) if options.quick else (TRUNK, options.sizes)
    fewer = QUICK if options.quick else {}
    scenes = [Scene(size, trunk, options.device, **fewer) for size in sizes]
    works: tuple[Work, ...] = (detection, training)
    rows = [row for work in works for scene in scenes for row in measure(work, scene, options)]
    finish(options, __doc__, rows)


def _case(work: str, scene: Scene, batch: int) -> dict[str, str | int | float]:
    height, width = scene.size
    return {"work": work, "trunk": scene.trunk, "H": height, "W": width, "batch": batch}


if __name__ == "__main__":
    main()
