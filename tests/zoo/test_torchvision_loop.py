"""A training loop in the style of torchvision's references, which knows nothing of this zoo.

The loop and the data are what a script for `maskrcnn_resnet50_fpn` has; only the name of the
function that builds the model is another.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2
from torchvision.models.detection import maskrcnn_resnet50_fpn
from torchvision.transforms import v2

from tensormask_zoo.data.shapes import Shapes
from tensormask_zoo.data.write_coco import write_coco
from tensormask_zoo.models import tensormask_resnet50_fpn

Build = Callable[..., torch.nn.Module]
WITH_BACKGROUND = 91  # COCO's highest category id, and 0


def train_one_epoch(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    data_loader: Any,
    device: torch.device,
    epoch: int,
    print_freq: int,
    scaler: Any = None,
) -> list[dict[str, float]]:
    """Train on every batch once; return the losses of each."""
    model.train()
    warm_up = _warm_up(optimizer, len(data_loader)) if epoch == 0 else None
    history = []
    for step, batch in enumerate(data_loader):
        images, targets = _to_device(*batch, device)
        with torch.autocast(device.type, torch.bfloat16, enabled=scaler is not None):
            loss_dict = model(images, targets)
            losses = sum(loss for loss in loss_dict.values())
        history.append({name: loss.item() for name, loss in loss_dict.items()})
        if not math.isfinite(losses.item()):
            raise FloatingPointError(f"loss is {losses.item()}, stopping: {history[-1]}")
        optimizer.zero_grad()
        _step(losses, optimizer, scaler)
        if warm_up is not None:
            warm_up.step()
        if step % print_freq == 0:
            print(f"epoch {epoch} step {step}: {history[-1]}")
    return history


def _warm_up(optimizer: torch.optim.Optimizer, batches: int) -> torch.optim.lr_scheduler.LinearLR:
    steps = max(1, min(1000, batches - 1))
    return torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.001, total_iters=steps)


def _to_device(images: Any, targets: Any, device: torch.device) -> tuple[list[Any], list[Any]]:
    return [image.to(device) for image in images], [
        {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in target.items()}
        for target in targets
    ]


def _step(losses: torch.Tensor, optimizer: torch.optim.Optimizer, scaler: Any) -> None:
    if scaler is None:
        losses.backward()
        optimizer.step()
    else:
        scaler.scale(losses).backward()
        scaler.step(optimizer)
        scaler.update()


def coco_format(images: Path, annotations: Path) -> Any:
    """A data set in COCO format as torchvision's own script reads it, small."""
    transforms = v2.Compose([
        v2.ToImage(),
        v2.Resize(64, max_size=96),
        v2.RandomHorizontalFlip(1.0),
        v2.ToDtype(torch.float32, scale=True),
        v2.SanitizeBoundingBoxes(),
    ])  # fmt: skip
    data = CocoDetection(str(images), str(annotations), transforms=transforms)
    return wrap_dataset_for_transforms_v2(data, target_keys=("boxes", "labels", "masks"))


def loader(data: Any) -> DataLoader[Any]:
    """Two batches of two images."""
    first = Subset(data, range(min(4, len(data))))
    return DataLoader(first, batch_size=2, collate_fn=lambda batch: tuple(zip(*batch, strict=True)))


def train(build: Build, data: Any, **how: Any) -> tuple[list[dict[str, float]], torch.nn.Module]:
    torch.manual_seed(0)
    model = build(
        weights=None, weights_backbone=None, num_classes=WITH_BACKGROUND, min_size=64, max_size=96
    )
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.002, momentum=0.9, weight_decay=1e-4)
    history = train_one_epoch(model, optimizer, loader(data), torch.device("cpu"), 0, 10, **how)
    return history, model


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("shapes")
    return coco_format(folder / "images", write_coco(Shapes(length=4, seed=0), folder))


@pytest.mark.parametrize("build", [tensormask_resnet50_fpn, maskrcnn_resnet50_fpn])
def test_either_model_trains_on_generated_images(build: Build, generated: Any) -> None:
    history, _ = train(build, generated)
    assert len(history) == 2
    for losses in history:
        assert {"loss_classifier", "loss_box_reg", "loss_mask"} <= losses.keys()


def test_the_trained_model_detects(generated: Any) -> None:
    _, model = train(tensormask_resnet50_fpn, generated)
    image, _ = generated[0]
    with torch.no_grad():
        (found,) = model.eval()([image])
    assert found["masks"].shape == (len(found["boxes"]), 1, *image.shape[-2:])


def test_the_loop_may_use_mixed_precision(generated: Any) -> None:
    history, _ = train(
        tensormask_resnet50_fpn, generated, scaler=torch.amp.GradScaler("cpu", enabled=False)
    )
    assert all(math.isfinite(loss) for losses in history for loss in losses.values())


def test_the_loop_trains_on_coco(shared_dir: Path) -> None:
    root = shared_dir / "data" / "coco-tiny"
    data = coco_format(root / "train2017", root / "annotations" / "instances_train2017.json")
    history, _ = train(tensormask_resnet50_fpn, data)
    assert [losses["loss_mask"] > 0 for losses in history] == [True, True]
