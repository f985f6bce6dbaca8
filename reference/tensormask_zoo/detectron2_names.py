"""What the released TensorMask calls its tensors, and what they are called here."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from torch import Tensor

from tensormask_zoo.trunk import RESNETS

STAGES = (2, 3, 4, 5)  # of the ResNet, in the paper's count, which begins with the stem
STEM = "backbone.bottom_up.stem.conv1"
PIXEL_MEAN, PIXEL_STD = "pixel_mean", "pixel_std"
ANCHORS = "anchor_generator.cell_anchors."
INPUTS = (PIXEL_MEAN, PIXEL_STD, ANCHORS)  # no weights: older files carry them, newer ones do not
TOWERS = {
    "cls_subnet": "class_box_head.class_tower",
    "bbox_subnet": "class_box_head.box_tower",
    "mask_subnet": "mask_head.tower",
}
STEP = 2  # numbers of convolutions of a tower are even, as ReLUs lie between them

Pair = tuple[str, str]


def read_structure(names: Collection[str]) -> tuple[int, int, tuple[int, ...]]:
    """Return the ResNet's depth, that of the towers and the sides of the windows.

    What is incomplete is taken for the model that lacks least, so that it can be named.
    """
    windows = _numbers(names, r"head\.mask_pred_(\d+)\.")
    towers = _numbers(names, r"head\.(?:cls|bbox|mask)_subnet\.(\d+)\.")
    blocks = [
        len(_numbers(names, rf"backbone\.bottom_up\.res{stage}\.(\d+)\.")) for stage in STAGES
    ]
    bottlenecks = any(re.match(r"backbone\.bottom_up\.res.*\.conv3\.", name) for name in names)

    def lacking(depth: int) -> int:
        return sum(abs(a - b) for a, b in zip(blocks, RESNETS[depth][1], strict=True))

    depth = min((d for d in RESNETS if (d >= 50) == bottlenecks), key=lacking)
    return depth, max(towers, default=0) // STEP + 1, tuple(sorted(windows))


def tensor_names(depth: int, tower_depth: int, windows: Iterable[int]) -> dict[str, str]:
    """Return our name of every tensor by the published one.

    Example:
        >>> names = tensor_names(50, 4, (11, 15))
        >>> len(names), names["head.mask_pred_11.bias"]
        (319, 'mask_head.cells.0.bias')
    """
    return dict([*_trunk(depth), *_pyramid(), *_head(tower_depth, windows)])


def check_names(names: Collection[str], expected: Collection[str]) -> None:
    """Refuse a state dict of other names.

    Raises:
        ValueError: names every tensor that is missing or unexpected.
    """
    missing = sorted(set(expected) - set(names))
    weights = {name for name in names if not name.startswith(INPUTS)}
    unexpected = sorted(weights - set(expected))
    if not any(name.startswith("head.mask_pred_") for name in names):
        missing.append("head.mask_pred_<side>.weight")
    if missing or unexpected:
        raise ValueError(
            "expected the tensors of a published TensorMask with tensor bipyramid; "
            f"missing: {', '.join(missing) or 'none'}; "
            f"unexpected: {', '.join(unexpected) or 'none'}"
        )


def check_shapes(
    state: Mapping[str, Tensor], ours: Mapping[str, Tensor], names: Mapping[str, str]
) -> None:
    """Refuse tensors that do not fit the model ``ours``.

    Raises:
        ValueError: names every tensor of a wrong shape.
    """
    wrong = [
        f"{theirs} expects {tuple(ours[name].shape)}, got {tuple(state[theirs].shape)}"
        for theirs, name in names.items()
        if state[theirs].shape != ours[name].shape
    ]
    if wrong:
        raise ValueError(f"tensors of wrong shapes: {'; '.join(wrong)}")


def _numbers(names: Iterable[str], pattern: str) -> set[int]:
    """Return the different numbers that names beginning with ``pattern`` have in its group."""
    return {int(found[1]) for name in names if (found := re.match(pattern, name))}


def _trunk(depth: int) -> Iterator[Pair]:
    body = "backbone.trunk.body"
    yield from _normalised(STEM, f"{body}.conv1", f"{body}.bn1")
    block, blocks = RESNETS[depth]
    for stage, count in zip(STAGES, blocks, strict=True):
        for b in range(count):
            theirs, ours = f"backbone.bottom_up.res{stage}.{b}", f"{body}.layer{stage - 1}.{b}"
            for i in range(1, 4 if block.expansion > 1 else 3):
                yield from _normalised(f"{theirs}.conv{i}", f"{ours}.conv{i}", f"{ours}.bn{i}")
            if b == 0 and (stage > STAGES[0] or block.expansion > 1):
                shortcut = f"{ours}.downsample"
                yield from _normalised(f"{theirs}.shortcut", f"{shortcut}.0", f"{shortcut}.1")


def _pyramid() -> Iterator[Pair]:
    for k, stage in enumerate(STAGES):
        yield from _biased(f"backbone.fpn_lateral{stage}", f"backbone.fpn.lateral.{k}")
        yield from _biased(f"backbone.fpn_output{stage}", f"backbone.fpn.output.{k}")
    yield from _biased("backbone.top_block.p6", "backbone.fpn.extra.0")
    yield from _biased("backbone.top_block.p7", "backbone.fpn.extra.1")


def _head(tower_depth: int, windows: Iterable[int]) -> Iterator[Pair]:
    for theirs, ours in TOWERS.items():
        for i in range(0, STEP * tower_depth, STEP):
            yield from _biased(f"head.{theirs}.{i}", f"{ours}.{i}")
    yield from _biased("head.cls_score", "class_box_head.logits")
    yield from _biased("head.bbox_pred", "class_box_head.deltas")
    yield from _biased("head.mask_fuse.0", "mask_head.fuse.0")
    for size, side in enumerate(windows):
        yield from _biased(f"head.mask_pred_{side:02d}", f"mask_head.cells.{size}")


def _biased(theirs: str, ours: str) -> Iterator[Pair]:
    for part in ("weight", "bias"):
        yield f"{theirs}.{part}", f"{ours}.{part}"


def _normalised(theirs: str, convolution: str, norm: str) -> Iterator[Pair]:
    yield f"{theirs}.weight", f"{convolution}.weight"
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{theirs}.norm.{part}", f"{norm}.{part}"
