"""The models by name: their size, their arguments, what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from tensormask_zoo.fpn import Backbone
from tensormask_zoo.models import (
    CLASS_AGNOSTIC,
    DETECTORS,
    MODELS,
    tensormask,
    tensormask_resnet18_fpn,
    tensormask_resnet50_fpn,
    tensormask_resnet101_fpn,
    tensormask_small_fpn,
)
from tensormask_zoo.trunk import ResNetTrunk, SmallTrunk

PUBLISHED = 36_514_370  # zoo-facts 5.2, which counts no batch norm: they are frozen
BATCH_NORMS = 53_120  # weights and biases of ResNet-50's


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    get_model = torchvision.models.get_model

    def untrained(name: str, weights: str, **options: Any) -> nn.Module:
        return get_model(name, weights=None, **options)

    monkeypatch.setattr(torchvision.models, "get_model", untrained)


def test_resnet50_has_the_published_number_of_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    no_download(monkeypatch)
    with torch.device("meta"):
        model = tensormask_resnet50_fpn(num_classes=80, weights_backbone="DEFAULT")
    assert parameters(model) == PUBLISHED


def test_resnet101_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        assert parameters(tensormask_resnet101_fpn(num_classes=80, norm="frozen")) == 55_454_274


def test_batch_norms_learn_where_they_are_asked_for() -> None:
    with torch.device("meta"):
        model = tensormask_resnet50_fpn(num_classes=80, norm="batch")
    assert parameters(model) == PUBLISHED + BATCH_NORMS
    assert all(p.requires_grad for p in model.parameters())


def test_a_model_from_scratch_normalises_groups_throughout() -> None:
    with torch.device("meta"):
        model = tensormask_resnet18_fpn(num_classes=2)
    names = {type(m).__name__ for m in model.modules()}
    assert "GroupNorm" in names
    assert not any("BatchNorm" in name for name in names)


def test_published_weights_are_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"weights expects None, got 'DEFAULT'; see .*convert"):
        tensormask_resnet50_fpn(weights="DEFAULT")


def test_compat_sets_what_the_released_code_decides_otherwise() -> None:
    model = tensormask_small_fpn(num_classes=1, compat="detectron2", upsample="centred")
    design = model.mask_head.design
    assert (design.vu_border, design.upsample) == ("pad", "centred")  # said explicitly: kept
    with pytest.raises(ValueError, match="compat expects None or 'detectron2', got 'mmdet'"):
        tensormask_small_fpn(num_classes=1, compat="mmdet")


def test_the_stem_and_first_stage_of_a_pretrained_trunk_are_frozen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    no_download(monkeypatch)
    with torch.device("meta"):
        model = tensormask_resnet18_fpn(num_classes=2, weights_backbone="DEFAULT")
    frozen = {n.split(".")[3] for n, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {"conv1", "layer1"}


@pytest.mark.parametrize(("stages", "trained"), [(0, 0), (1, 1), (4, 4), (5, 6)])
def test_the_last_stages_of_a_resnet_train(stages: int, trained: int) -> None:
    with torch.device("meta"):
        trunk = ResNetTrunk(torchvision.models.resnet18(), trainable_stages=stages)
    names = {n.split(".")[1] for n, p in trunk.named_parameters() if p.requires_grad}
    assert len(names) == trained  # bn1 trains with conv1


def test_the_small_model_has_under_a_million_parameters() -> None:
    assert parameters(tensormask_small_fpn(num_classes=80)) < 1_000_000


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_every_model_returns_detections(name: str) -> None:
    model = MODELS[name](num_classes=2, **({} if "small" in name else {"min_size": 64})).eval()
    with torch.no_grad():
        (found,) = model([torch.rand(3, 64, 64)])
    assert found["masks"].shape == (len(found["boxes"]), 1, 64, 64)


@pytest.mark.parametrize("name", sorted(n for n in CLASS_AGNOSTIC if n.endswith("small")))
def test_every_proposal_system_returns_proposals(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name](num_classes=1).eval()
    with torch.no_grad():
        (found,) = model([torch.rand(3, 40, 48)])
    assert found["masks"].shape == (len(found["boxes"]), 1, 40, 48)
    assert set(found["labels"].tolist()) == {1}


@pytest.mark.parametrize("name", sorted(CLASS_AGNOSTIC))
def test_proposal_systems_refuse_classes(name: str) -> None:
    with (
        torch.device("meta"),
        pytest.raises(ValueError, match="num_classes expects 1, got 3"),
    ):
        MODELS[name](num_classes=3)


@pytest.mark.parametrize("stride", [4, 8, 16, 32])
def test_the_trunk_of_the_small_model_halves_at_each_stage(stride: int) -> None:
    maps = SmallTrunk()(torch.zeros(1, 3, 64, 96))
    assert maps[str(stride.bit_length() - 3)].shape[-2:] == (64 // stride, 96 // stride)


@pytest.mark.parametrize("classes", [0, -1])
def test_a_model_without_classes_is_refused(classes: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1 object class, got {classes}"):
        tensormask_small_fpn(num_classes=classes)


def test_mask_cells_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="sigma_vu expects 4 or 2 px, got 3"):
        tensormask_small_fpn(num_classes=1, sigma_vu=3)


@pytest.mark.parametrize("options", [{"min_sizes": 5}, {"limits": {"top": 1}}, {"wide": 3}])
def test_an_unknown_setting_is_named(options: dict[str, Any]) -> None:
    name = "top" if "limits" in options else next(iter(options))
    backbone = Backbone(SmallTrunk(), channels=8, levels=3)
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        tensormask(backbone, num_classes=1, **options)
