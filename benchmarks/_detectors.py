"""TensorMask and torchvision's Mask R-CNN, built alike and made to find as much as each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection._utils import Matcher
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.resnet import BasicBlock, Bottleneck

from tensormask_core.masks import encode
from tensormask_zoo.models import MODELS
from tensormask_zoo.tensormask import TensorMask
from tensormask_zoo.tensormask.results import as_rles

CLASSES = 80
CANDIDATES = 1000  # pairs of box and class that enter suppression, in both models
OBJECTS = 7  # of an image, as in COCO
SHORTEST_PX, LONGEST = 12.0, 0.8  # of their sides, log-uniform: px, and image sides
POSITIVE_SHARE = 0.25  # of the sampled regions, the most that the published recipe takes
CALM = 0.2  # scale of a residual branch: frozen batch norms do not tame random weights

ImageSize = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Scene:
    """What is measured.

    Attributes:
        size: (H, W) of the images, px; not resized.
        trunk: the ResNet of both models.
        device: cpu or cuda.
        regions: how many Mask R-CNN samples per image in training.
        detections: how many are found in an image.
    """

    size: ImageSize
    trunk: str
    device: str
    regions: int = 512
    detections: int = 100

    def images(self, count: int) -> list[Tensor]:
        """Return random images."""
        generator = torch.Generator().manual_seed(0)
        random = (torch.rand(3, *self.size, generator=generator) for _ in range(count))
        return [image.to(self.device) for image in random]

    def targets(self, count: int) -> list[dict[str, Tensor]]:
        """Return OBJECTS per image, which fill their boxes."""
        generator = torch.Generator().manual_seed(1)
        return [self._target(generator) for _ in range(count)]

    def _target(self, generator: torch.Generator) -> dict[str, Tensor]:
        extent = torch.tensor(self.size[::-1])
        share = torch.rand(OBJECTS, 2, generator=generator)
        side = SHORTEST_PX * (LONGEST * extent / SHORTEST_PX) ** share
        corner = torch.rand(OBJECTS, 2, generator=generator) * (extent - side)
        boxes = torch.cat([corner, corner + side], dim=1).round()
        masks = torch.zeros(OBJECTS, *self.size, dtype=torch.uint8)
        for mask, (x0, y0, x1, y1) in zip(masks, boxes.int().tolist(), strict=True):
            mask[y0:y1, x0:x1] = 1
        labels = torch.randint(1, CLASSES + 1, (OBJECTS,), generator=generator)
        target = {"boxes": boxes, "labels": labels, "masks": masks}
        return {name: value.to(self.device) for name, value in target.items()}


def tensormask(scene: Scene) -> TensorMask:
    """Return TensorMask with a frozen stem and first stage and no score threshold."""
    torch.manual_seed(0)
    build: Any = MODELS[f"tensormask_{scene.trunk}_fpn"]
    model: TensorMask = build(
        num_classes=CLASSES,
        norm="frozen",
        trainable_backbone_layers=3,
        min_size=None,
        limits={"score_threshold": 0.0, "candidates": CANDIDATES, "detections": scene.detections},
    )
    _calm(model)
    return model.to(scene.device)


def mask_rcnn(scene: Scene) -> MaskRCNN:
    """Return torchvision's Mask R-CNN with the same trunk, as frozen as the other."""
    torch.manual_seed(0)
    backbone = resnet_fpn_backbone(backbone_name=scene.trunk, weights=None, trainable_layers=3)
    model = MaskRCNN(
        backbone,
        CLASSES + 1,
        min_size=min(scene.size),
        max_size=max(scene.size),
        rpn_post_nms_top_n_test=10 * scene.detections,
        box_detections_per_img=scene.detections,
        box_batch_size_per_image=scene.regions,
        box_positive_fraction=POSITIVE_SHARE,
    )
    _calm(model)
    return model.to(scene.device)


def find_as_many(model: MaskRCNN, images: list[Tensor]) -> None:
    """Set the score threshold so that CANDIDATES pairs of box and class pass it in ``images``."""

    def look(_: nn.Module, __: Any, output: tuple[Tensor, Tensor]) -> None:
        scores = output[0].softmax(-1)[:, 1:].flatten()  # without background
        count = min(CANDIDATES, len(scores) - 1)
        model.roi_heads.score_thresh = float(scores.topk(count + 1).values[-1])

    hook = model.roi_heads.box_predictor.register_forward_hook(look)
    model(images)
    hook.remove()


def rles_of_mask_rcnn(model: MaskRCNN, images: list[Tensor]) -> list[list[dict[str, Any]]]:
    """Detect, and encode the pasted masks."""
    return [encode(found["masks"][:, 0] >= 0.5) for found in model(images)]


def rles_of_tensormask(model: TensorMask, images: list[Tensor]) -> list[list[dict[str, Any]]]:
    """Detect, and encode straight from the windows."""
    found = model.detect(images)
    return [
        as_rles(*result, (image.shape[-2], image.shape[-1]))
        for result, image in zip(found, images, strict=True)
    ]


def sample_as_if_trained(model: MaskRCNN, regions: int) -> None:
    """Make the full share of an image's ``regions`` positive, as good proposals would."""
    positive = int(POSITIVE_SHARE * regions)

    class Fixed(Matcher):  # type: ignore[misc]  # torchvision has no types
        def __call__(self, overlaps: Tensor) -> Tensor:
            match = overlaps.argmax(dim=0)
            match[positive:] = self.BELOW_LOW_THRESHOLD
            return match

    model.roi_heads.proposal_matcher = Fixed(0.5, 0.5)


def training_step(
    model: nn.Module, images: list[Tensor], targets: list[dict[str, Tensor]]
) -> Callable[[], None]:
    """Return a function that makes one step of SGD with momentum, losses and all."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1e-6, momentum=0.9)

    def step() -> None:
        losses = model(images, [dict(target) for target in targets])
        optimizer.zero_grad()
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        optimizer.step()

    return step


def _calm(model: nn.Module) -> None:
    """Scale what residual branches add."""
    for module in model.modules():
        if isinstance(module, Bottleneck):
            module.bn3.weight.fill_(CALM)
        elif isinstance(module, BasicBlock):
            module.bn2.weight.fill_(CALM)
