"""The baseline: torchvision's Mask R-CNN with the conventions of the zoo."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from pycocotools import mask as coco_mask
from torch import Tensor, nn

from tensormask_core.masks import encode
from tensormask_zoo.evaluation import ImageResult
from tensormask_zoo.image_batching import ImageBatching
from tensormask_zoo.mask_rcnn import (
    MaskRCNN,
    mask_rcnn_resnet50_fpn,
    mask_rcnn_resnet101_fpn,
    mask_rcnn_small_fpn,
)

LOSSES = {
    "loss_classifier", "loss_box_reg", "loss_mask", "loss_objectness", "loss_rpn_box_reg",
}  # fmt: skip


@pytest.fixture(scope="module")
def baseline() -> MaskRCNN:
    """Return an untrained model of three classes that detects much, in evaluation mode."""
    torch.manual_seed(0)
    model = mask_rcnn_small_fpn(num_classes=3, limits={"score_threshold": 0.2, "detections": 12})
    return model.eval()


def picture(height: int = 64, width: int = 96) -> Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(1))


def train(targets: list[dict[str, Any]]) -> dict[str, float]:
    torch.manual_seed(0)
    model = mask_rcnn_small_fpn(num_classes=3)
    losses: Any = model([picture() for _ in targets], targets)
    return {name: float(value.detach()) for name, value in losses.items()}


def test_the_layers_are_those_of_torchvision() -> None:
    with torch.device("meta"):
        ours = mask_rcnn_resnet50_fpn(num_classes=80).network.state_dict()
        theirs = torchvision.models.detection.maskrcnn_resnet50_fpn(
            weights=None, weights_backbone=None, num_classes=81
        ).state_dict()
    assert [(k, v.shape) for k, v in ours.items()] == [(k, v.shape) for k, v in theirs.items()]


def test_resnet101_has_seventeen_more_blocks() -> None:
    def blocks(model: MaskRCNN) -> int:
        return sum(name.endswith(".conv3") for name, _ in model.named_modules())

    with torch.device("meta"):
        deep, shallow = (
            mask_rcnn_resnet101_fpn(num_classes=1),
            mask_rcnn_resnet50_fpn(num_classes=1),
        )
    assert blocks(deep) - blocks(shallow) == 17


def test_with_weights_the_stem_the_first_stage_and_all_statistics_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights, untrained = torchvision.models.ResNet50_Weights, torchvision.models.resnet50()
    monkeypatch.setattr(weights, "get_state_dict", lambda *_, **__: untrained.state_dict())
    model = mask_rcnn_resnet50_fpn(num_classes=1, weights_backbone="IMAGENET1K_V1")
    body = model.network.backbone.body
    frozen = {name.split(".")[0] for name, p in body.named_parameters() if not p.requires_grad}
    assert frozen == {"conv1", "layer1"}
    assert torch.equal(body.conv1.weight, untrained.conv1.weight)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def test_training_returns_the_losses_of_boxes_masks_and_proposals(objects: Any) -> None:
    losses = train([objects([[4, 4, 36, 36]]), objects([[40, 8, 90, 60]])])
    assert losses.keys() == LOSSES
    assert all(0 < value < 100 for value in losses.values())


def test_an_image_without_objects_trains(objects: Any) -> None:
    losses = train([objects([])])
    assert losses["loss_mask"] == losses["loss_box_reg"] == 0
    assert losses["loss_objectness"] > 0


def test_a_crowd_is_left_out(objects: Any) -> None:
    boxes = [[4, 4, 36, 36], [40, 8, 90, 60]]
    assert train([objects(boxes, iscrowd=[0, 1])]) == train([objects(boxes[:1], iscrowd=[0])])


def test_training_without_targets_is_refused() -> None:
    with pytest.raises(ValueError, match="training expects targets, got None"):
        mask_rcnn_small_fpn(num_classes=3)([picture()])


def test_detections_are_those_of_torchvision(baseline: MaskRCNN) -> None:
    with torch.no_grad():
        ours, theirs = baseline([picture()])[0], baseline.network([picture()])[0]
    assert len(ours["boxes"]) == 12
    for name in ("boxes", "labels", "scores"):
        assert torch.allclose(ours[name], theirs[name]), name


class Discs(nn.Module):
    """Predicts a disc for every box and class."""

    def forward(self, features: Tensor) -> Tensor:
        row = torch.linspace(-1, 1, 28)
        disc = 20 * (0.8 - row[:, None] ** 2 - row**2)
        return disc.expand(len(features), 4, 28, 28)


def test_masks_are_those_of_torchvision_up_to_its_rounding_of_boxes(baseline: MaskRCNN) -> None:
    heads, image = baseline.network.roi_heads, picture(240, 320)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setitem(heads._modules, "mask_predictor", Discs())
        ((found, masks),) = baseline.detect([image])
        pasted = baseline.network([image])[0]["masks"][:, 0] > 0.5
    rles = ImageResult.of(found, masks, image).rles
    theirs = encode(pasted.numpy().astype(np.uint8))
    iou = [coco_mask.iou([a], [b], [0])[0, 0] for a, b in zip(rles, theirs, strict=True)]
    assert len(iou) == 12
    assert min(iou) > 0.75
    assert np.median(iou) > 0.9


def test_detections_come_back_in_the_size_of_the_image(baseline: MaskRCNN) -> None:
    resizing = mask_rcnn_small_fpn(
        num_classes=3, min_size=128, max_size=400, limits={"score_threshold": 0.2, "detections": 12}
    )
    resizing.load_state_dict(baseline.state_dict())
    image = picture()
    enlarged = torch.nn.functional.interpolate(image[None], scale_factor=2, mode="bilinear")[0]
    with torch.no_grad():
        (small,), (large,) = resizing.eval()([image]), baseline([enlarged])
    assert torch.allclose(small["boxes"], large["boxes"] / 2, atol=0.1)
    assert small["masks"].shape == (12, 1, 64, 96)


def test_nothing_found_is_an_empty_result() -> None:
    model = mask_rcnn_small_fpn(num_classes=3, limits={"score_threshold": 0.999}).eval()
    with torch.no_grad():
        (found,) = model([picture()])
    assert [tuple(found[k].shape) for k in ("boxes", "masks")] == [(0, 4), (0, 1, 64, 96)]


def test_images_are_resized_as_tensormask_resizes_them() -> None:
    with torch.device("meta"):
        model = mask_rcnn_resnet50_fpn(num_classes=1)
    assert isinstance(model.network.transform, ImageBatching)
    assert (model.network.transform.min_size, model.network.transform.max_size) == ((800,), 1333)


@pytest.mark.parametrize("build", [mask_rcnn_small_fpn, mask_rcnn_resnet50_fpn])
def test_a_model_without_classes_is_refused(build: Any) -> None:
    with pytest.raises(ValueError, match="at least 1 object class, got 0"):
        build(num_classes=0)


def test_a_limit_that_does_not_exist_is_named() -> None:
    with pytest.raises(TypeError, match=r"limits expects score_threshold, .* 'top'"):
        mask_rcnn_small_fpn(num_classes=1, limits={"top": 5})
