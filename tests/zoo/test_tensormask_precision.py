"""Compiled, in bfloat16, and with channels last."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tensormask_zoo.models import tensormask_small_fpn
from tensormask_zoo.tensormask import TensorMask


@pytest.fixture
def model() -> TensorMask:
    torch.manual_seed(0)
    return tensormask_small_fpn(num_classes=3)


@torch.no_grad()
def test_the_networks_compile_without_a_break(model: TensorMask) -> None:
    def core(images: Tensor) -> tuple[Tensor, Tensor]:
        levels, stem = model.backbone(images)
        logits, _ = model.class_box_head(levels)
        tensors = model.mask_head(levels[1], model.mask_head.finest(levels[0], stem), 1)
        index = torch.tensor([[0, 2, 3]], device=images.device)
        return logits, model.mask_head.masks(tensors[0], index, 1)

    images = torch.rand(1, 3, 64, 64)
    model.eval()
    compiled = torch.compile(core, fullgraph=True, backend="aot_eager")
    for found, expected in zip(compiled(images), core(images), strict=True):
        assert torch.allclose(found, expected, atol=1e-5)


def test_a_model_trains_with_its_networks_compiled(model: TensorMask, objects: Any) -> None:
    images, targets = [torch.rand(3, 64, 64)], [objects([[4, 4, 36, 36]], (64, 64))]
    expected = model(images, targets)
    for module in (model.backbone, model.class_box_head):
        module.compile(fullgraph=True, backend="aot_eager")
    for name, loss in model(images, targets).items():
        assert torch.allclose(loss, expected[name], rtol=1e-3)


def test_losses_under_autocast_are_single_precision_and_close(
    model: TensorMask, objects: Any
) -> None:
    images, targets = [torch.rand(3, 64, 96)], [objects([[4, 4, 36, 36]])]
    expected = model(images, targets)
    with torch.autocast("cpu", torch.bfloat16):
        found = model(images, targets)
    for name, loss in found.items():
        assert loss.dtype == torch.float32
        assert torch.allclose(loss, expected[name], rtol=0.05)
    torch.stack(list(found.values())).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@torch.no_grad()
def test_detections_under_autocast_are_single_precision(detector: TensorMask) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = detector([torch.rand(3, 64, 96)])
    assert {found[name].dtype for name in ("boxes", "scores", "masks")} == {torch.float32}
    assert len(found["boxes"]) > 3


@torch.no_grad()
def test_channels_stay_last_from_the_first_convolution_on(detector: TensorMask) -> None:
    last, expected = detector, detector([torch.rand(3, 64, 96).fill_(0.5)])
    last = last.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as documented
    turned: list[str] = []

    def look(name: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if not inputs[0].is_contiguous(memory_format=torch.channels_last):
                turned.append(name)

        return hook

    hooks = [
        module.register_forward_pre_hook(look(name))
        for name, module in last.named_modules()
        if isinstance(module, nn.Conv2d) and module.in_channels > 3
    ]
    found = last([torch.rand(3, 64, 96).fill_(0.5)])
    for hook in hooks:
        hook.remove()
    last.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # as above
    assert turned == []
    assert torch.allclose(found[0]["scores"], expected[0]["scores"], atol=1e-4)
