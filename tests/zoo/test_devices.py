"""Evaluation on several devices: two processes on the CPU, each of which runs this file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist

from tensormask_core.masks import encode, tight_boxes
from tensormask_zoo.data.shapes import Shapes
from tensormask_zoo.evaluation import CocoEvaluator, ImageResult


def evaluate(rank: int = 0, world: int = 1) -> list[Any]:
    """Add the images of one process, and one that all have, as samplers repeat images."""
    shapes = Shapes(length=5, seed=2, objects=(3, 6))
    evaluator = CocoEvaluator(shapes.class_names)
    for index in {0, *range(rank, len(shapes), world)}:
        _, target = shapes[index]
        masks = np.roll(target["masks"].numpy(), index, axis=2)
        scores = np.linspace(0.9, 0.1, len(masks)) * (1 - index / 10)
        result = ImageResult(tight_boxes(masks), target["labels"].numpy(), scores, encode(masks))
        evaluator.add(result, target)
    evaluator.gather()
    curves = evaluator.calibration().curves
    return [evaluator.compute(), {name: [*curve.scores] for name, curve in curves.items()}]


def test_each_process_reports_the_metrics_of_all_images_once(tmp_path: Path) -> None:
    outputs = [tmp_path / f"{rank}.json" for rank in range(2)]
    started = [
        subprocess.Popen([sys.executable, __file__, str(rank), str(tmp_path / "meeting"), path])
        for rank, path in enumerate(outputs)
    ]
    assert [process.wait(timeout=200) for process in started] == [0, 0]
    alone = evaluate()
    assert [json.loads(path.read_text()) for path in outputs] == [alone, alone]
    assert 0.1 < alone[0]["mask AP"] < 0.9


if __name__ == "__main__":
    dist.init_process_group(
        "gloo", init_method=f"file://{sys.argv[2]}", rank=int(sys.argv[1]), world_size=2
    )
    Path(sys.argv[3]).write_text(json.dumps(evaluate(dist.get_rank(), dist.get_world_size())))
