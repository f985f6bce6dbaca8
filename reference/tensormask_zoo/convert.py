"""Import the weights that were published for detectron2's TensorMask."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torchvision.ops import FrozenBatchNorm2d

from tensormask_zoo import detectron2_names as d2
from tensormask_zoo.checkpoint_files import read_state
from tensormask_zoo.files import replacing
from tensormask_zoo.fpn import FINEST_STRIDE, Backbone
from tensormask_zoo.models import tensormask
from tensormask_zoo.tensormask.model import TensorMask
from tensormask_zoo.towers import HeadWidths
from tensormask_zoo.trunk import ResNetTrunk, resnet

MEAN_BGR = (103.53, 116.28, 123.675)  # of pixels in 0..255, detectron2's default
STD_BGR = (1.0, 1.0, 1.0)  # of weights made with Caffe, whose first convolution has it inside
LEVELS = 6
TRAINABLE_STAGES = 3  # the stem and the first stage are frozen, as published
SLACK_PX = 0.01  # anchors were made through square roots
WEIGHTS, CONFIG = "model.safetensors", "config.json"


@dataclass(frozen=True, kw_only=True)
class Published:
    """What the names and shapes of published weights tell about their model.

    Attributes:
        depth: of the ResNet.
        stem: channels of its stem.
        planes: channels of the 3x3 convolutions of its stages.
        channels: of the feature pyramid.
        tower_depth: convolutions of each tower of the head.
        class_channels: of the class tower.
        box_channels: of the box tower.
        mask_channels: of the mask tower.
        windows: sides of the square windows, in strides of their level.
        num_classes: object classes.
        image_mean: subtracted from RGB images in [0, 1].
        image_std: divides them.
    """

    depth: int
    stem: int
    planes: tuple[int, ...]
    channels: int
    tower_depth: int
    class_channels: int
    box_channels: int
    mask_channels: int
    windows: tuple[int, ...]
    num_classes: int
    image_mean: tuple[float, ...]
    image_std: tuple[float, ...]

    def build(self, **settings: Any) -> TensorMask:
        """Return a model of this structure with weights yet to be loaded.

        Args:
            settings: arguments of :func:`tensormask_zoo.models.tensormask`.
        """
        network = resnet(
            self.depth,
            norm_layer=FrozenBatchNorm2d,
            stride_in="1x1",
            stem=self.stem,
            planes=self.planes,
        )
        trunk = ResNetTrunk(network, trainable_stages=TRAINABLE_STAGES)
        published: dict[str, Any] = {
            "windows": tuple((side, side) for side in self.windows),
            "widths": HeadWidths(
                class_channels=self.class_channels,
                box_channels=self.box_channels,
                mask_channels=self.mask_channels,
                depth=self.tower_depth,
            ),
            "compat": "detectron2",
            "image_mean": self.image_mean,
            "image_std": self.image_std,
        }
        backbone = Backbone(trunk, channels=self.channels, levels=LEVELS)
        return tensormask(backbone, num_classes=self.num_classes, **(published | settings))


def from_detectron2(
    source: str | Path | Mapping[str, Any],
    *,
    min_size: int | None = 800,
    max_size: int = 1333,
    detections_per_image: int = 100,
) -> TensorMask:
    """Return a published TensorMask with its weights, in evaluation mode.

    Everything about the model is read off the names and shapes of its tensors. It takes RGB
    images in [0, 1], like every model of the zoo, although the weights were made for BGR in
    0..255. Images that it need not resize give what the released code gives; resizing differs
    slightly, as the released code resizes with Pillow.

    Args:
        source: a state dict of torch or numpy arrays, or a ``.pkl``, ``.pth`` or
            ``.safetensors`` file, with or without a level ``"model"``; a file is read without
            executing what is in it.
        min_size: short side that images are resized to, px; None leaves them as they are.
        max_size: the long side stays below this, px.
        detections_per_image: how many are kept at most.

    Raises:
        ValueError: a missing, unexpected or wrongly shaped tensor; all of them are named.
        pickle.UnpicklingError: a pickle asks for more than arrays and plain containers.

    Source: TensorMask, section 6; names and semantics of the released code.

    Example:
        >>> model = from_detectron2("model_final.pkl", min_size=None)  # doctest: +SKIP
        >>> boxes = model([image])[0]["boxes"]  # doctest: +SKIP
    """
    state = read_state(source)
    settings = settings_of(min_size, max_size, detections_per_image)
    return _with_weights(structure_of(state), state, settings)


def settings_of(min_size: int | None, max_size: int, detections_per_image: int) -> dict[str, Any]:
    """Return the arguments of :meth:`Published.build` that weights do not decide."""
    limits = {"detections": detections_per_image}
    return {"min_size": min_size, "max_size": max_size, "limits": limits}


def convert(
    source: str | Path | Mapping[str, Any], folder: Path, **settings: Any
) -> tuple[Published, TensorMask]:
    """Import a published checkpoint and write it in a form that :func:`load` reads.

    Args:
        source: see :func:`from_detectron2`.
        folder: gets the weights as safetensors and what else the model is made of as JSON.
        settings: of :func:`settings_of`.

    Returns:
        What was found, and the model.
    """
    state = read_state(source)
    found, others = structure_of(state), settings_of(**settings)
    model = _with_weights(found, state, others)
    with replacing(folder / WEIGHTS) as beside:
        save_file(model.state_dict(), beside)
    with replacing(folder / CONFIG) as beside:
        beside.write_text(json.dumps({"published": asdict(found), "settings": others}, indent=1))
    return found, model


def load(folder: str | Path) -> TensorMask:
    """Return the model that :func:`convert` wrote to ``folder``, in evaluation mode."""
    config = json.loads((Path(folder) / CONFIG).read_text())
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in config["published"].items()
    }
    model = Published(**fields).build(**config["settings"])
    model.load_state_dict(load_file(Path(folder) / WEIGHTS))
    return model.eval()


def structure_of(state: Mapping[str, Tensor]) -> Published:
    """Return what the names and shapes of a published state dict tell about its model.

    Raises:
        ValueError: the names are not those of one model, or its windows do not fit each other.
    """
    depth, tower_depth, windows = d2.read_structure(state)
    d2.check_names(state, d2.tensor_names(depth, tower_depth, windows))
    _check_windows(state, windows)

    def channels(layer: str) -> int:
        return len(state[f"{layer}.weight"])

    return Published(
        depth=depth,
        stem=channels(d2.STEM),
        planes=tuple(channels(f"backbone.bottom_up.res{stage}.0.conv2") for stage in d2.STAGES),
        channels=channels("backbone.fpn_lateral2"),
        tower_depth=tower_depth,
        class_channels=channels("head.cls_subnet.0"),
        box_channels=channels("head.bbox_subnet.0"),
        mask_channels=channels("head.mask_subnet.0"),
        windows=windows,
        num_classes=channels("head.cls_score") // len(windows),
        image_mean=_as_rgb(state.get(d2.PIXEL_MEAN), MEAN_BGR),
        image_std=_as_rgb(state.get(d2.PIXEL_STD), STD_BGR),
    )


def _with_weights(
    found: Published, state: Mapping[str, Tensor], settings: dict[str, Any]
) -> TensorMask:
    model = found.build(**settings)
    names = d2.tensor_names(found.depth, found.tower_depth, found.windows)
    d2.check_shapes(state, model.state_dict(), names)
    ours = {name: state[theirs] for theirs, name in names.items()}
    first = names[f"{d2.STEM}.weight"]
    ours[first] = ours[first].flip(1)  # BGR to RGB
    model.load_state_dict(ours)
    return model.eval()


def _check_windows(state: Mapping[str, Tensor], windows: tuple[int, ...]) -> None:
    sizes = len(state["head.bbox_pred.weight"]) / 4
    if sizes != len(windows):
        raise ValueError(
            f"head.bbox_pred.weight expects 4 channels for each of {len(windows)} window sizes "
            f"{windows}, got {4 * sizes:.0f}: a layer head.mask_pred_<side> may be missing"
        )
    for k in range(LEVELS):
        name = f"{d2.ANCHORS}{k}"
        sides = torch.tensor(windows) * FINEST_STRIDE * 2**k / 2
        expected = sides[:, None] * torch.tensor([-1, -1, 1, 1])
        found = state.get(name, expected)
        if found.shape != expected.shape or (found - expected).abs().max() > SLACK_PX:
            raise ValueError(f"{name} expects {expected.tolist()}, got {state[name].tolist()}")


def _as_rgb(bgr: Tensor | None, default: tuple[float, ...]) -> tuple[float, ...]:
    """Return statistics of BGR pixels in 0..255 for RGB pixels in [0, 1]."""
    values = default if bgr is None else bgr.flatten().tolist()
    return tuple(round(value, 4) / 255 for value in reversed(values))  # 103.53 is 103.5299988
