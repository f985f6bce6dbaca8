"""Is FastMask faster than DeepMask's pyramid, and refinement faster refactored than concatenated?

Run `python benchmarks/bench_proposals.py`; README.md describes the method. Networks are the
published ones with random weights. In "proposals", all see the same image and return 1000
proposals with their window masks: DeepMask and SharpMask at 8 scales up to twice the image (the
"zoom" of SharpMask's Table 4), FastMask with 8 window sizes in one pass over twice the image, and
both with half of that (FastMask's Table 4). In "masks", the K best masks are made from the trunk's
maps, of the image at scale 1 or at all scales, including what the windows share. Most of that are
the convolutions from those maps to skip features, the same in both forms of refinement: they are
also measured alone ("skips only"), as is all that comes after ("from skips").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from _arrays import check_agreement
from _harness import Case, Contender, Row
from _machine import available_cores, set_threads
from _operations import compare_and_count
from _results import Options, finish, parse_options
from torch import Tensor

from tensormask_core.testing import to_numpy
from tensormask_zoo.deepmask.model import DeepMask
from tensormask_zoo.deepmask.proposals import found_windows
from tensormask_zoo.deepmask.pyramid import best_windows, grid_of
from tensormask_zoo.models import MODELS
from tensormask_zoo.sharpmask import SharpMask

SIZE, QUICK_SIZE = (480, 640), (64, 96)
PROPOSALS, QUICK_PROPOSALS = 1000, 5
COUNTS, QUICK_COUNTS = (10, 100, 1000), (3,)  # masks at scale 1
SCALES = tuple(2 ** (-2.5 + k / 2) for k in range(8))
QUICK_SCALES = (0.5, 1.0)
FEW = 3  # repeats: a round of all networks takes about a minute
SLACK = 10.0  # on the tolerance of a single operator: four modules in a row

Found = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Scene:
    """What all networks look at.

    Attributes:
        size: (H, W) of the image, px.
        proposals: of the image.
        quick: small networks.
        device: cpu or cuda.
    """

    size: tuple[int, int]
    proposals: int
    quick: bool
    device: str

    @property
    def image(self) -> Tensor:
        """The image."""
        generator = torch.Generator().manual_seed(0)
        return torch.rand(3, *self.size, generator=generator).to(self.device)

    @property
    def scales(self) -> tuple[float, ...]:
        """The image pyramid."""
        return QUICK_SCALES if self.quick else SCALES

    def deepmask(self, step: int = 1) -> DeepMask:
        """Return DeepMask with every ``step``-th scale."""
        name, norm = self._resnet("deepmask_small", "deepmask_w160_p4_d39_f128")
        model: DeepMask = self._built(name, inference=self._inference(step), **norm)
        return model

    def sharpmask(self) -> SharpMask:
        """Return SharpMask."""
        name, norm = self._resnet("sharpmask_small", "sharpmask")
        model: SharpMask = self._built(name, inference=self._inference(1), **norm)
        return model

    def fastmask(self, *zooms: int) -> Any:
        """Return FastMask with so many necks on each stream."""
        name, norm = self._resnet("fastmask_small", "fastmask_resnet39")
        return self._built(name, eval_zooms=zooms, limits=self._limits, **norm)

    def fastmask_pvanet(self) -> Any:
        """Return the fastest FastMask, of one stream."""
        name = "fastmask_small" if self.quick else "fastmask_pvanet"
        return self._built(name, zooms=(3,), limits=self._limits)

    def instancefcn(self) -> Any:
        """Return InstanceFCN at its 6 scales."""
        name = "instancefcn_small" if self.quick else "instancefcn_vgg16"
        return self._built(name, limits={"detections": self.proposals})

    @property
    def _limits(self) -> dict[str, int]:
        return {"candidates": self.proposals, "detections": self.proposals}

    def _inference(self, step: int) -> dict[str, Any]:
        return {"scales": self.scales[::step], "proposals": self.proposals}

    def _resnet(self, small: str, large: str) -> tuple[str, dict[str, Any]]:
        return (small, {}) if self.quick else (large, {"norm": "frozen"})

    def _built(self, name: str, **settings: Any) -> Any:
        torch.manual_seed(0)
        return MODELS[name](**settings).eval().to(self.device)


def proposals(scene: Scene) -> tuple[Case, list[Contender]]:
    """Find proposals in the image."""
    models = {
        "deepmask": scene.deepmask(),
        "deepmask, every other scale": scene.deepmask(step=2),
        "sharpmask": scene.sharpmask(),
        "instancefcn": scene.instancefcn(),
        "fastmask": scene.fastmask(3, 3),
        "fastmask, one stream": scene.fastmask(3),
        "fastmask pvanet, one stream": scene.fastmask_pvanet(),
    }
    images = [scene.image]
    contenders = [
        Contender(name, partial(model.detect, images), FEW) for name, model in models.items()
    ]
    return _case("proposals", scene, scene.scales, scene.proposals), contenders


def masks(scene: Scene, scales: Sequence[float], count: int) -> tuple[Case, list[Contender]]:
    """Make the masks of the best windows from the maps of the image."""
    model = scene.sharpmask()
    kept: list[list[Tensor]] = []
    hook = model.trunk.register_forward_hook(lambda _, __, maps: kept.append(maps))
    levels = [model.level(scene.image, scale) for scale in scales]
    hook.remove()
    window, _ = best_windows([level.scores for level in levels], count)
    grid = grid_of(levels, stride=model.trunk.stride, window_px=model.window_px)
    parts = [
        (k, levels[k].vectors[:, index[:, 0], index[:, 1]].T, index)
        for k, _, index, _ in found_windows(grid, window)
    ]

    def skips() -> list[list[Tensor]]:
        return [[x[0] for x in model.refiner.skips(maps)] for maps in kept]

    def refined(execution: Any, skips: Sequence[Sequence[Tensor]]) -> Tensor:
        model.refiner.execution = execution
        at_once = model.windows_at_once
        return torch.cat([model.refiner.masks(v, skips[k], at, at_once) for k, v, at in parts])

    made = skips()
    contenders = [
        Contender("deepmask", lambda: torch.cat([model.head.masks_of(v) for _, v, _ in parts])),
        Contender("sharpmask", lambda: refined("refactored", skips())),
        Contender("sharpmask, concatenated", lambda: refined("concatenated", skips())),
        Contender("sharpmask, skips only", skips),
        Contender("sharpmask, from skips", lambda: refined("refactored", made)),
        Contender("sharpmask, concatenated, from skips", lambda: refined("concatenated", made)),
    ]
    ours, expected = (to_numpy(refined(way, made)) for way in ("refactored", "concatenated"))
    check_agreement("sharpmask", ours, expected, "float32", SLACK)
    return _case("masks", scene, scales, count), contenders


def measure(work: Callable[[], tuple[Case, list[Contender]]], options: Options) -> list[Row]:
    """Measure all contenders of one kind of work, and count their operations."""
    with torch.no_grad():
        case, contenders = work()
        return compare_and_count(case, contenders, options)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_options(
        "proposals",
        __doc__,
        arguments,
        repeats=5,
        devices=("cpu", "cuda"),
        threads=(available_cores(),),
    )
    set_threads(options.threads[0])
    size, count, counts = (
        (QUICK_SIZE, QUICK_PROPOSALS, QUICK_COUNTS) if options.quick else (SIZE, PROPOSALS, COUNTS)
    )
    scene = Scene(size, count, options.quick, options.device)
    works = [
        partial(proposals, scene),
        *(partial(masks, scene, (1.0,), some) for some in counts),
        partial(masks, scene, scene.scales, count),
    ]
    finish(options, __doc__, [row for work in works for row in measure(work, options)])


def _case(
    work: str, scene: Scene, scales: Sequence[float], count: int
) -> dict[str, str | int | float]:
    height, width = scene.size
    return {"work": work, "H": height, "W": width, "scales": len(scales), "K": count}


if __name__ == "__main__":
    main()
