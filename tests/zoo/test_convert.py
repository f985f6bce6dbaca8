"""Published checkpoints: what is read off them, what becomes of it, and what is refused."""

from __future__ import annotations

import json
import pickle
import runpy
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tensormask_zoo.convert import Published, convert, from_detectron2, load, structure_of
from tensormask_zoo.detectron2_names import STEM, tensor_names

SCRIPT = Path(__file__).resolve().parents[2] / "reference" / "convert.py"
R50 = Published(
    depth=50, stem=64, planes=(64, 128, 256, 512), channels=256, tower_depth=4, class_channels=256,
    box_channels=128, mask_channels=128, windows=(11, 15), num_classes=80,
    image_mean=(0.485, 0.456, 0.406), image_std=(1 / 255,) * 3,
)  # fmt: skip
NARROW = replace(
    R50, stem=3, planes=(2, 3, 2, 3), channels=5, tower_depth=2, class_channels=4, box_channels=6,
    mask_channels=3, num_classes=7,
)  # fmt: skip
SETTINGS: dict[str, Any] = {"min_size": None, "max_size": 1333, "detections_per_image": 9}
State = dict[str, Tensor]


def state_of(published: Published) -> State:
    """A random checkpoint of that structure, as the released code would name it."""
    torch.manual_seed(0)
    ours = published.build().state_dict()
    names = tensor_names(published.depth, published.tower_depth, published.windows)
    return {theirs: ours[name].clone() for theirs, name in names.items()}


@pytest.fixture(scope="module")
def narrow() -> State:
    return state_of(NARROW)


def write_pickle(content: Any, path: Path) -> Path:
    path.write_bytes(pickle.dumps(content))
    return path


def as_numpy(state: State) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in state.items()}


@pytest.mark.parametrize("older", [False, True], ids=["as published now", "as published first"])
def test_every_tensor_of_the_published_checkpoint_has_a_place(
    shared_dir: Path, older: bool
) -> None:
    document = json.loads((shared_dir / "golden" / "tensormask_d2_keys.json").read_text())
    state = {name: torch.zeros(shape) for name, shape in document["keys"]}
    assert len(state) == 319
    if older:
        state |= {"pixel_mean": torch.tensor([103.53, 116.28, 123.675])[:, None, None]}
    assert structure_of(state) == R50
    model = from_detectron2(state)
    assert len(model.state_dict()) == 319
    assert not any(value.any() for value in model.state_dict().values())


@pytest.mark.parametrize(("depth", "count"), [(50, 36_514_370), (101, 55_454_274)])
def test_models_have_the_published_number_of_parameters(depth: int, count: int) -> None:
    with torch.device("meta"):
        model = replace(R50, depth=depth).build()
    assert sum(p.numel() for p in model.parameters()) == count


def test_the_stem_and_the_first_stage_stay_as_published() -> None:
    model = NARROW.build()
    frozen = {n.split(".")[3] for n, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {"conv1", "layer1"}


@pytest.mark.parametrize(
    "published",
    [
        NARROW,
        replace(NARROW, depth=101),
        replace(NARROW, depth=18),
        replace(NARROW, depth=34, tower_depth=3),
        replace(NARROW, windows=(9,), num_classes=1),
        replace(NARROW, windows=(5, 7, 12)),
    ],
    ids=["narrow", "R-101", "R-18", "R-34", "one window", "three windows"],
)
def test_the_structure_is_read_off_names_and_shapes(published: Published) -> None:
    assert structure_of(state_of(published)) == published


def test_every_tensor_arrives_with_the_first_convolution_in_rgb(narrow: State) -> None:
    ours = from_detectron2(narrow).state_dict()
    for theirs, name in tensor_names(50, 2, (11, 15)).items():
        expected = narrow[theirs].flip(1) if theirs == f"{STEM}.weight" else narrow[theirs]
        assert torch.equal(ours[name], expected), theirs


def test_a_grey_and_a_coloured_pixel_are_normalised_like_the_released_code(narrow: State) -> None:
    statistics = {
        "pixel_mean": torch.tensor([100.0, 110.0, 120.0])[:, None, None],
        "pixel_std": torch.tensor([1.0, 2.0, 4.0])[:, None, None],
    }
    model = from_detectron2(narrow | statistics, min_size=None)
    bgr = torch.tensor([7.0, 110.0, 255.0])
    seen = model.transform([(bgr.flip(0) / 255)[:, None, None].expand(3, 32, 32)])[0].tensors
    expected = torch.tensor([(255 - 120) / 4, 0, 7 - 100])
    assert torch.allclose(seen[0, :, 0, 0], expected, atol=1e-4)


def test_the_arguments_reach_the_model(narrow: State) -> None:
    model = from_detectron2(narrow, min_size=320, max_size=500, detections_per_image=7)
    assert (model.transform.min_size, model.transform.max_size) == ((320,), 500)
    assert model.limits.detections == 7
    assert not model.training


def test_the_imported_model_has_the_semantics_of_the_released_code(narrow: State) -> None:
    model = from_detectron2(narrow)
    assert (model.mask_head.design.vu_border, model.mask_head.design.upsample) == (
        "pad",
        "half_pixel",
    )
    assert model.rule.ambiguous == "negative"  # type: ignore[attr-defined]  # of TensorMaskRule


def drop(name: str) -> Callable[[State], State]:
    return lambda state: {n: t for n, t in state.items() if not n.startswith(name)}


def add(name: str, *shape: int) -> Callable[[State], State]:
    return lambda state: state | {name: torch.zeros(shape)}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (drop("head.mask_fuse"), ["head.mask_fuse.0.weight", "head.mask_fuse.0.bias"]),
        (drop("head.cls_subnet.2"), ["head.cls_subnet.2.weight", "head.cls_subnet.2.bias"]),
        (drop("head.mask_pred_11.b"), ["head.mask_pred_11.bias"]),
        (drop("head.mask_pred_11"), ["head.mask_pred_<side>", "got 8"]),
        (drop("head.mask_pred"), ["head.mask_pred_<side>.weight"]),
        (drop("backbone.bottom_up.res5.2"), ["res5.2.conv3.norm.running_var", "res5.2.conv1"]),
        (drop("backbone"), [f"{STEM}.weight", "backbone.top_block.p7.bias"]),
        (add("head.extra", 1), ["unexpected: head.extra"]),
        (add("backbone.fpn_lateral3.bias", 6), ["fpn_lateral3.bias expects (5,), got (6,)"]),
        (add("head.cls_score.bias", 3), ["head.cls_score.bias expects (14,), got (3,)"]),
        (add("head.bbox_pred.weight", 9, 6, 3, 3), ["head.bbox_pred.weight expects"]),
        (add("anchor_generator.cell_anchors.1", 3, 4), ["cell_anchors.1 expects [[-44.0"]),
        (add("anchor_generator.cell_anchors.0", 2, 4), ["cell_anchors.0 expects [[-22.0"]),
    ],
)
def test_a_tensor_out_of_place_is_named(
    narrow: State, change: Callable[[State], State], names: list[str]
) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  (every name is looked for below)
        from_detectron2(change(narrow))
    assert [name for name in names if name not in str(refused.value)] == []


def test_published_anchors_are_accepted(narrow: State) -> None:
    half = torch.tensor([[22.0], [30.0]]) * torch.tensor([-1, -1, 1, 1])
    anchors = {f"anchor_generator.cell_anchors.{k}": half * 2**k + 1e-5 for k in range(6)}
    assert structure_of(narrow | anchors) == NARROW


@pytest.mark.parametrize("kind", ["pkl", "pth", "safetensors"])
def test_every_kind_of_file_gives_the_same_model(tmp_path: Path, narrow: State, kind: str) -> None:
    path = tmp_path / f"model.{kind}"
    write: dict[str, Any] = {"pkl": write_pickle, "pth": torch.save, "safetensors": save_file}
    write[kind](as_numpy(narrow) if kind == "pkl" else narrow, path)
    ours, expected = (from_detectron2(source).state_dict() for source in (path, narrow))
    assert all(torch.equal(ours[name], expected[name]) for name in expected)


def test_a_converted_model_is_read_back(tmp_path: Path, narrow: State) -> None:
    found, model = convert(narrow, tmp_path / "model", **SETTINGS)
    again = load(tmp_path / "model")
    assert found == NARROW
    assert again.limits == model.limits
    assert again.transform.keeps_size
    assert again.mask_head.design == model.mask_head.design
    assert all(torch.equal(again.state_dict()[n], t) for n, t in model.state_dict().items())


def run(*arguments: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["convert.py", *map(str, arguments)])
        runpy.run_path(str(SCRIPT), run_name="__main__")


def test_the_script_says_what_it_found(
    tmp_path: Path, narrow: State, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_pickle({"model": as_numpy(narrow)}, tmp_path / "model.pkl")
    run(source, tmp_path / "model", "--min-size", 0)
    printed = capsys.readouterr().out
    assert all(text in printed for text in ("(11, 15)", "(2, 3, 2, 3)", "num_classes     7"))
    assert load(tmp_path / "model").transform.keeps_size


def test_the_script_leaves_nothing_behind_when_it_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_pickle({"model": {}}, tmp_path / "model.pkl")
    with pytest.raises(SystemExit, match="1"):
        run(source, tmp_path / "model")
    assert "missing: backbone" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
