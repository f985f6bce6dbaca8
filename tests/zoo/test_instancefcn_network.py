"""InstanceFCN's network: counts and shapes of zoo-facts, holes, and the assembly of masks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tensormask_core import Aligned
from tensormask_zoo.instancefcn.builders import instancefcn_small, instancefcn_vgg16
from tensormask_zoo.instancefcn.dilated_vgg import DilatedVGG, vgg_features
from tensormask_zoo.instancefcn.instance_head import InstanceHead
from tensormask_zoo.tensormask.mask_design import MaskDesign
from tensormask_zoo.tensormask.mask_head import MaskHead
from tensormask_zoo.towers import HeadWidths

LAYERS: list[str | int] = [4, "M", 4, "M", 4, "M", 4, "M", 4, 4, "M"]
INSIDE = (..., slice(10, 14), slice(10, 20))  # windows of 21 nodes within a map of 24 x 30


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def score_maps(k: int, m: int = 21, extent: tuple[int, int] = (24, 30)) -> Aligned[Tensor]:
    torch.manual_seed(0)
    return Aligned(torch.randn(2, k, k, *extent), sigma_vu=8 * m / k, sigma_hw=8)


def trunk(**settings: Any) -> DilatedVGG:
    torch.manual_seed(0)
    return DilatedVGG(vgg_features(LAYERS), **settings)


@pytest.mark.parametrize(
    ("k", "last", "branch", "total"),
    [
        (3, 41_481, 304_137, 17_379_146),
        (5, 115_225, 377_881, 17_452_890),
        (7, 225_841, 488_497, 17_563_506),
    ],
)
def test_parameters_are_the_published_ones(k: int, last: int, branch: int, total: int) -> None:
    with torch.device("meta"):
        model = instancefcn_vgg16(k=k)
    assert count(model.trunk) == 14_714_688
    assert count(model.head.objectness) == 2_360_321
    assert (count(model.head.segments[2]), count(model.head.segments)) == (last, branch)
    assert count(model) == total


def test_vgg16_has_512_channels_at_stride_8() -> None:
    with torch.device("meta"):
        model = instancefcn_vgg16()
        features = model.trunk(torch.zeros(1, 3, 600, 800))
        maps, objectness = model.head(features)
        masks = model.head.dense(maps)
    assert features.shape == (1, 512, 75, 100)
    assert (maps.shape, objectness.shape) == ((1, 5, 5, 75, 100), (1, 75, 100))
    assert masks.shape == (1, 21, 21, 75, 100)
    assert masks.window_extent == (168, 168)


def test_weights_of_vgg16_fit_by_name() -> None:
    import torchvision  # noqa: PLC0415  (slow to build, and used here only)

    with torch.device("meta"):
        ours = instancefcn_vgg16().trunk.state_dict()
        theirs = torchvision.models.vgg16().state_dict()
    assert {name: theirs[name].shape for name in ours} == {n: x.shape for n, x in ours.items()}
    assert len(ours) == 26


@torch.no_grad()
def test_holes_give_every_second_node_what_the_strided_network_gives() -> None:
    """Without padding, for which a finer map reads other nodes: in the middle of a plain image."""
    holed = trunk(pool="2x2")
    plain = vgg_features(LAYERS)
    plain.load_state_dict(holed.features.state_dict())
    image = torch.rand(1, 3, 160, 160)
    fine, coarse = holed(image), plain[:-1](image)
    assert fine.shape[-1] == 2 * coarse.shape[-1] == 20
    assert torch.allclose(fine[..., 6:-6:2, 6:-6:2], coarse[..., 3:-3, 3:-3], atol=1e-5)


@torch.no_grad()
def test_a_mirrored_image_has_a_mirrored_map() -> None:
    """So a node is centred on the pixels that were pooled into it."""
    layers = trunk()
    for conv in layers.features:
        if isinstance(conv, nn.Conv2d):
            conv.weight.copy_((conv.weight + conv.weight.flip(-1)) / 2)
    image = torch.rand(1, 3, 64, 96)
    assert torch.allclose(layers(image.flip(-1)), layers(image).flip(-1), atol=1e-5)


@pytest.mark.parametrize(("stride", "dilations"), [(16, [1, 1]), (8, [2, 2]), (4, [4, 4])])
def test_a_pooling_without_stride_doubles_the_holes(stride: int, dilations: list[int]) -> None:
    layers = trunk(stride=stride)
    convs = [layer for layer in layers.features if isinstance(layer, nn.Conv2d)]
    assert [conv.dilation[0] for conv in convs[-2:]] == dilations
    assert layers(torch.rand(1, 3, 64, 96)).shape == (1, 4, 64 // stride, 96 // stride)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stride": 32}, "stride expects a power of two below 32, as there are 5 poolings"),
        ({"stride": 6}, "stride expects a power of two below 32"),
        ({"pool": "5x5"}, "pool expects '3x3' or '2x2', got '5x5'"),
    ],
)
def test_trunks_that_do_not_exist_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trunk(**settings)


@pytest.mark.parametrize("k", [1, 3, 5, 7])
def test_a_pixel_comes_from_the_map_of_its_cell(k: int) -> None:
    """Equation 6 of TensorMask's appendix A.2, read pixel by pixel."""
    maps, m, (y, x) = score_maps(k), 21, (11, 13)
    (mask,) = InstanceHead(4, k=k, m=m).masks(maps, torch.tensor([[1, y, x]]))
    for i in range(m):
        for j in range(m):
            cell_v, cell_u = (int(k * (n + 0.5) / m) for n in (i, j))  # the cell it lies in
            assert mask[i, j] == maps.data[1, cell_v, cell_u, y + i - 10, x + j - 10]


@pytest.mark.parametrize("k", [3, 5, 7])
def test_sparse_assembly_equals_dense_assembly(k: int) -> None:
    maps, head = score_maps(k), InstanceHead(4, k=k)
    index = torch.tensor([[0, 0, 0], [1, 11, 15], [1, 23, 29], [0, 5, 28]])
    n, y, x = index.T
    assert torch.equal(head.masks(maps, index), head.dense(maps).data[n, :, :, y, x])


def test_a_window_reads_zero_outside_the_map() -> None:
    (mask,) = InstanceHead(4, k=5).masks(score_maps(5), torch.tensor([[0, 0, 29]]))
    assert not mask[:10].any()
    assert not mask[:, 11:].any()
    assert mask[10:, :11].all()


@pytest.mark.parametrize("k", [3, 5, 7])
@torch.no_grad()
def test_it_is_the_nearest_neighbour_aligned_head_of_tensormask(k: int) -> None:
    """Appendix A.2, on equal weights: both heads as 1x1 convolutions with a ReLU between them."""
    torch.manual_seed(0)
    ours = InstanceHead(6, k=k, m=21, hidden=8)
    design = MaskDesign(head="upscale_aligned_nearest", lam=21 / k)
    widths = HeadWidths(mask_channels=8, depth=1)
    theirs = MaskHead(6, stem_channels=1, windows=((21, 21),), design=design, widths=widths)
    first, last = torch.randn(8, 6, 1, 1), torch.randn(k * k, 8, 1, 1)
    ours.segments[0].weight.copy_(first)
    ours.segments[2].weight.copy_(F.pad(last, (1, 1, 1, 1)))
    theirs.tower[0].weight.copy_(F.pad(first, (1, 1, 1, 1)))
    theirs.cells[0].weight.copy_(last)
    features = torch.rand(2, 6, 24, 30)
    (aligned,) = theirs(features, None, 0)
    assembled = ours.dense(ours(features)[0]).data
    assert assembled[INSIDE].std() > 0.1
    assert torch.allclose(theirs.dense(aligned, 0).data[INSIDE], assembled[INSIDE], atol=1e-5)


def test_new_layers_start_small() -> None:
    head = InstanceHead(64)
    for layer in (head.segments[0], head.segments[2], head.objectness[0]):
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.05)
        assert not layer.bias.any()


@pytest.mark.parametrize("k", [0, 22])
def test_cells_that_do_not_exist_are_refused(k: int) -> None:
    with pytest.raises(ValueError, match=f"k expects 1 to m = 21 cells per side, got {k}"):
        InstanceHead(4, k=k)


@pytest.mark.parametrize("build", [instancefcn_vgg16, instancefcn_small])
def test_proposals_have_no_classes(build: Any) -> None:
    with pytest.raises(ValueError, match="num_classes expects 1, got 80"):
        build(num_classes=80)
