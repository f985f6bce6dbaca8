"""FastMask by name: published sizes and shapes, scales, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tensormask_zoo.fastmask import (
    FastMask,
    fastmask_pvanet,
    fastmask_resnet39,
    fastmask_small,
    fastmask_vgg16,
)
from tensormask_zoo.fastmask.heads import CAFFE_GAIN
from tensormask_zoo.fastmask.initialisation import STANDARD_DEVIATIONS
from tensormask_zoo.fastmask.learning import Learning

HEADS = 2_622_720 + 131_072 + 7_080_449 + 1_280_100 + 7_374_400 + 1_280  # zoo-facts 4.2


def parameters(model: torch.nn.Module, *, trained: bool = False) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trained)


def on_meta(build: Callable[..., FastMask], **settings: Any) -> FastMask:
    with torch.device("meta"):
        return build(**settings)


def test_two_streams_on_resnet39_have_the_published_number_of_parameters() -> None:
    assert parameters(on_meta(fastmask_resnet39)) == 27_033_381
    frozen = on_meta(fastmask_resnet39, norm="frozen")
    assert parameters(frozen) == 27_033_381
    assert parameters(frozen, trained=True) == 27_002_789


def test_one_stream_needs_the_same_parameters() -> None:
    assert parameters(on_meta(fastmask_resnet39, zooms=(3,))) == 27_033_381


@pytest.mark.parametrize(
    ("build", "neck", "attention", "count"),
    [
        (fastmask_resnet39, "average", True, 27_033_381 - 2_622_720),
        (fastmask_resnet39, "max", True, 27_033_381 - 2_622_720),
        (fastmask_resnet39, "feed_forward", True, 27_033_381),
        (fastmask_resnet39, "residual", False, 27_033_381 - 1_280_100),
        (fastmask_vgg16, "residual", True, 14_714_688 + HEADS - (512 * (9 * 256 + 256 + 1 + 128))),
        (fastmask_pvanet, "average", True, 1_068_032 + HEADS - 2_622_720 - 768 * 128),
    ],
)
def test_other_bodies_necks_and_heads_differ_by_what_they_lack(
    build: Any, neck: str, attention: bool, count: int
) -> None:
    assert parameters(on_meta(build, neck=neck, attention=attention)) == count


def test_maps_and_windows_have_the_published_shapes() -> None:
    network = on_meta(fastmask_resnet39)
    maps = network.maps(torch.zeros(1, 3, 600, 800, device="meta"))
    assert list(maps) == [16, 24, 32, 48, 64, 96, 128]
    for stride, x in maps.items():
        assert x.shape == (1, 128, -(-600 // stride), -(-800 // stride))
    grid = network.grid((600, 800))
    assert [level.count for level in grid.levels] == [
        (-(-600 // stride) + 1) * (-(-800 // stride) + 1) for stride in maps
    ]


def test_evaluation_has_eight_scales_and_training_seven() -> None:
    network = on_meta(fastmask_pvanet)
    assert len(network.strides) == 7
    assert network.eval().strides == (16, 24, 32, 48, 64, 96, 128, 192)


@pytest.fixture
def network() -> FastMask:
    torch.manual_seed(0)
    return fastmask_small().eval()


def test_a_model_cut_to_one_stream_stays_so_in_evaluation() -> None:
    assert on_meta(fastmask_pvanet, zooms=(3,)).eval().strides == (16, 32, 64, 128)
    assert len(on_meta(fastmask_pvanet, zooms=(3,), eval_zooms=(4, 0)).eval().strides) == 6


def test_necks_and_streams_can_be_added_and_removed_after_training(network: FastMask) -> None:
    for zooms, scales in (((4, 4), 10), ((3,), 4), ((0, 0), 2)):
        network.set_eval_zooms(*zooms)
        assert len(network.strides) == scales == len(network.maps(torch.rand(1, 3, 32, 32)))
    with pytest.raises(ValueError, match=r"each of 1 to 2 streams, got \(1, 1, 1\)"):
        network.set_eval_zooms(1, 1, 1)
    with pytest.raises(ValueError, match=r"got \(\)"):
        network.set_eval_zooms()


def test_fewer_scales_leave_the_maps_of_the_others_as_they_are(network: FastMask) -> None:
    x = torch.rand(1, 3, 48, 64)
    with torch.no_grad():
        every = network.maps(x)
        network.set_eval_zooms(3)
        one = network.maps(x)
    assert all(torch.equal(every[stride], found) for stride, found in one.items())


def test_a_stream_left_out_is_not_computed(
    network: FastMask, monkeypatch: pytest.MonkeyPatch
) -> None:
    strides, upper = [], network.body.upper.forward
    monkeypatch.setattr(
        network.body.upper, "forward", lambda x, stride: strides.append(stride) or upper(x, stride)
    )
    monkeypatch.setattr(network, "eval_zooms", (3,))
    network.maps(torch.zeros(1, 3, 16, 16))
    assert strides == [2]


def test_compat_sets_what_the_paper_says() -> None:
    learning = fastmask_small(compat="paper", sampling={"positives": 8}).learning
    assert learning.rule == Learning.paper().rule
    assert (learning.divide_by, learning.sampling.positives) == ("windows", 8)


@pytest.mark.parametrize(
    "build", [fastmask_resnet39, fastmask_vgg16, fastmask_pvanet, fastmask_small]
)
def test_classes_are_refused(build: Any) -> None:
    with pytest.raises(ValueError, match=r"num_classes expects 1, got 80: .* merge the classes"):
        on_meta(build, num_classes=80)


@pytest.mark.parametrize("build", [fastmask_pvanet, fastmask_small])
def test_weights_that_do_not_exist_are_refused(build: Any) -> None:
    with pytest.raises(ValueError, match="weights_backbone expects None, got 'DEFAULT'"):
        build(weights_backbone="DEFAULT")


@pytest.mark.parametrize("threshold", [0, 1])
def test_a_mask_threshold_is_a_probability(threshold: float) -> None:
    with pytest.raises(ValueError, match=rf"probability in \(0, 1\), got {threshold}"):
        fastmask_small(mask_threshold=threshold)


@pytest.mark.parametrize(("name", "value"), [("init", "xavier"), ("compat", "caffe")])
def test_an_unknown_word_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} expects .* got '{value}'"):
        fastmask_small(**{name: value})


def test_published_weights_start_narrow() -> None:
    network = fastmask_small(init="published", hidden=64)
    deviations = {name: p.std().item() for name, p in network.named_parameters() if p.dim() > 1}
    for name, expected in STANDARD_DEVIATIONS.items():
        found = [d for n, d in deviations.items() if n.startswith(name)]
        assert found
        assert found == pytest.approx([expected] * len(found), rel=0.2)
    assert network.head.mask_norm.gain == CAFFE_GAIN


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'necks'"):
        fastmask_small(necks=3)


@pytest.mark.parametrize("build", [fastmask_resnet39, fastmask_pvanet])
def test_a_body_normalises_as_asked(build: Any) -> None:
    network = on_meta(build, norm="batch")
    assert parameters(network) == parameters(on_meta(build))
    assert not any(isinstance(m, torch.nn.GroupNorm) for m in network.modules())
    with pytest.raises(ValueError, match=r"norm expects one of .*'batch', 'group', got 'layer'"):
        on_meta(build, norm="layer")


def test_objects_of_all_sizes_have_windows_in_the_small_model() -> None:
    model = fastmask_small()
    grid = model.grid((128, 128))
    sides = np.geomspace(8.5, 210, 40)
    boxes = 61.3 + sides[:, None] / 2 * np.array([-1, -1, 1, 1])
    assert min(len(model.learning.rule(grid, [box]).window) for box in boxes) > 0


def test_the_streams_of_the_small_model_share_no_statistics_of_their_maps() -> None:
    assert [name for name, _ in fastmask_small().body.named_buffers()] == []
