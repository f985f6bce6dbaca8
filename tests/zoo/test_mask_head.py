"""The mask heads: units, cells, sparse masks against dense ones, and the operators by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tensormask_core import ops
from tensormask_zoo.tensormask.mask_design import MASK_HEADS, MaskDesign
from tensormask_zoo.tensormask.mask_head import PAD_LOGIT, MaskHead, Masks
from tensormask_zoo.tensormask.upsample import bring_to
from tensormask_zoo.towers import HeadWidths

WIDTHS = HeadWidths(mask_channels=8, depth=1)
LEVELS = 3
DESIGNS = [
    {"head": "simple_natural"},
    {"head": "simple_aligned"},
    {"head": "upscale_natural", "lam": 1.5},
    {"head": "upscale_natural", "lam": 3, "vu_border": "pad"},
    {"head": "upscale_aligned", "lam": 3},
    {"head": "upscale_aligned", "lam": 1.5, "vu_border": "pad"},
    {"head": "upscale_aligned_nearest", "lam": 3},
    {"head": "bipyramid"},
    {"head": "bipyramid", "vu_border": "pad", "upsample": "half_pixel"},
    {"head": "bipyramid", "sigma_vu": 2},
]
BIPYRAMIDS = [design for design in DESIGNS if design["head"] == "bipyramid"]


def mask_head(**design: Any) -> MaskHead:
    torch.manual_seed(0)
    head = MaskHead(
        6, stem_channels=4, windows=((9, 3), (6, 6)), design=MaskDesign(**design), widths=WIDTHS
    )
    for cells in head.cells:
        torch.nn.init.normal_(cells.weight)
    return head


def tensors_of(head: MaskHead) -> Iterator[tuple[int, list[Masks]]]:
    """The mask tensors of each level for two images of 48 x 72 px."""
    levels = [torch.rand(2, 6, -(-12 // 2**k), -(-18 // 2**k)) for k in range(LEVELS)]
    finest = head.finest(levels[0], torch.rand(2, 4, 24, 36))
    for k, level in enumerate(levels):
        yield k, head(level, finest, k)


@pytest.mark.parametrize("design", DESIGNS)
@torch.no_grad()
def test_masks_of_some_windows_are_those_of_the_whole_level(design: dict[str, Any]) -> None:
    head = mask_head(**design)
    index = torch.tensor([[0, 0, 0], [1, 1, 2], [0, 2, 4], [1, 2, 0]])
    for k, tensors in tensors_of(head):
        for tensor in tensors:
            n, y, x = index.T
            expected = head.dense(tensor, k).data.permute(0, 3, 4, 1, 2)[n, y, x]  # (K, V, U)
            assert torch.allclose(head.masks(tensor, index, k), expected, atol=1e-5)


@pytest.mark.parametrize("design", DESIGNS)
@torch.no_grad()
def test_masks_have_the_cells_and_places_of_their_windows(design: dict[str, Any]) -> None:
    head = mask_head(**design)
    for k, tensors in tensors_of(head):
        for size, tensor in enumerate(tensors):
            natural = head.dense(tensor, k)
            assert natural.window_size == head.cells_of(k, size)
            v, u = head.windows[size]
            assert natural.window_extent == (v * 4 * 2**k, u * 4 * 2**k)
            assert natural.shape[-2:] == (-(-12 // 2**k), -(-18 // 2**k))


@pytest.mark.parametrize(("sigma_vu", "extent"), [(2, (24, 36)), (4, (12, 18))])
def test_a_bipyramid_predicts_every_level_on_the_finest_grid(
    sigma_vu: int, extent: tuple[int, int]
) -> None:
    for k, tensors in tensors_of(mask_head(sigma_vu=sigma_vu)):
        assert [t.shape for t in tensors] == [(2, 9, 3, *extent), (2, 6, 6, *extent)]
        assert [(t.sigma_vu, t.sigma_hw) for t in tensors] == [(4 * 2**k, sigma_vu)] * 2


@pytest.mark.parametrize("lam", [1.5, 3])
def test_a_head_that_upscales_predicts_fewer_cells(lam: float) -> None:
    head = mask_head(head="upscale_aligned", lam=lam)
    assert [c.out_channels for c in head.cells] == [27 / lam**2, 36 / lam**2]


@torch.no_grad()
def test_heads_without_lam_are_copies_and_shifts() -> None:
    x = torch.rand(1, 9, 3, 12, 18)
    natural, aligned = mask_head(head="simple_natural"), mask_head(head="simple_aligned")
    assert torch.equal(natural.dense(natural.design.variant.representation(x, 4, 4), 0).data, x)
    shifted = ops.align2nat(x, pad_value=PAD_LOGIT)
    as_aligned = aligned.design.variant.representation(x, 4, 4)
    assert torch.equal(aligned.dense(as_aligned, 0).data, shifted)


@torch.no_grad()
def test_natural_cells_are_upscaled_like_an_image() -> None:
    head = mask_head(head="upscale_natural", lam=3)
    (_, (tensor, _)), *_ = tensors_of(head)
    windows = tensor.data.permute(0, 3, 4, 1, 2).flatten(0, 2)[:, None]  # (N H W, 1, V, U)
    expected = F.interpolate(windows, scale_factor=3, mode="bilinear", align_corners=False)
    actual = head.dense(tensor, 0).data.permute(0, 3, 4, 1, 2).flatten(0, 2)[:, None]
    assert torch.allclose(actual, expected, atol=1e-5)


@torch.no_grad()
def test_nearest_cells_assemble_windows_as_instance_fcn() -> None:
    head = mask_head(head="upscale_aligned_nearest", lam=3)
    x = torch.rand(1, 3, 3, 12, 18)
    tensor = head.design.variant.representation(x, 12, 4)
    expected = ops.assemble(x, (9, 9))
    inside = (..., slice(4, 8), slice(4, 14))
    assert torch.equal(head.dense(tensor, 0).data[inside], expected[inside])


@pytest.mark.parametrize("design", BIPYRAMIDS)
@torch.no_grad()
def test_a_mask_beyond_the_image_is_empty(design: dict[str, Any]) -> None:
    head = mask_head(**design)
    (_, tensors), *_ = tensors_of(head)
    (mask,) = head.masks(tensors[0], torch.zeros(1, 3, dtype=torch.long), 0)
    assert (mask[:4] == PAD_LOGIT).all()  # the window of node (0, 0) begins 4.5 cells above


@torch.no_grad()
def test_the_finest_features_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    head = mask_head()
    calls: list[tuple[int, ...]] = []
    head.tower.register_forward_hook(lambda _, inputs, __: calls.append(inputs[0].shape))
    list(tensors_of(head))
    assert len(calls) == LEVELS


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_centred_upsampling_keeps_nodes_in_place(scale: int) -> None:
    features, finest = torch.rand(1, 2, 5, 7), torch.zeros(1, 2, 5 * scale - 1, 7 * scale)
    fine = bring_to(finest, features, "centred")
    assert fine.shape == finest.shape
    assert torch.allclose(fine[..., ::scale, ::scale], features, atol=1e-6)


def test_half_pixel_upsampling_drifts_as_published() -> None:
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    fine = bring_to(torch.zeros(1, 1, 32, 32), ramp, "half_pixel")
    assert fine[0, 0, 0, 17] == (17 + 0.5) / 4 - 0.5  # 17.5 and not 16 shows node 4


@pytest.mark.parametrize("head", sorted(MASK_HEADS))
def test_gradients_reach_every_parameter(head: str) -> None:
    model = mask_head(head=head, lam=3 if MASK_HEADS[head].upscales else 1)
    index = torch.tensor([[0, 1, 1], [1, 2, 2]])
    total = sum(model.masks(t, index, k).sum() for k, ts in tensors_of(model) for t in ts)
    assert isinstance(total, Tensor)
    total.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize(
    ("design", "message"),
    [
        ({"head": "tripyramid"}, "no mask head named 'tripyramid'; there are simple_natural"),
        ({"lam": 3}, "bipyramid predicts every mask cell: lam expects 1, got 3"),
        ({"head": "upscale_aligned", "lam": 5}, r"whole, got 5 for \(9, 3\)"),
        ({"head": "upscale_aligned", "lam": 0.5}, "lam expects at least 1"),
        ({"sigma_vu": 3}, "sigma_vu expects 4 or 2 px, got 3"),
        ({"head": "simple_aligned", "sigma_vu": 2}, "sigma_vu expects 4 px, got 2"),
        ({"vu_border": "wrap"}, "vu_border expects 'edge' or 'pad', got 'wrap'"),
        ({"upsample": "corner"}, "upsample expects 'centred' or 'half_pixel', got 'corner'"),
    ],
)
def test_designs_that_do_not_exist_are_refused(design: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mask_head(**design)
