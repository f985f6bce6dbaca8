"""FastMask's head: published counts, attention, masks as natural tensors."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tensormask_core import Natural
from tensormask_zoo.fastmask.heads import CAFFE_GAIN, HeadWidths, WindowHead


def published(**settings: bool) -> WindowHead:
    with torch.device("meta"):
        return WindowHead(**settings)


def small(**settings: float) -> WindowHead:
    torch.manual_seed(0)
    widths = HeadWidths(score=(8, 8), mask=8, dropout=0.0)
    head = WindowHead(channels=3, mask=6, widths=widths, **settings)
    torch.nn.init.uniform_(head.mask_norm.weight, 0.5, 2.0)
    torch.nn.init.uniform_(head.mask_norm.bias)
    return head


def some_windows(count: int = 4) -> Tensor:
    return torch.randn(count, 10, 10, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("prefix", "count"),
    [
        ("score", 7_080_449),
        ("attention", 1_280_100),
        ("mask_fc", 7_374_400),
        ("mask_norm", 1_024),
    ],
)
def test_a_branch_has_the_published_number_of_parameters(prefix: str, count: int) -> None:
    named = published().named_parameters()
    assert sum(p.numel() for name, p in named if name.startswith(prefix)) == count


def test_the_standard_head_lacks_the_attention_only() -> None:
    counts = [sum(p.numel() for p in published(attention=a).parameters()) for a in (True, False)]
    assert counts[0] - counts[1] == 1_280_100
    windows = some_windows()
    found, attended = small(attention=False).attend(windows)
    assert found is None
    assert attended is windows


def test_attention_multiplies_every_channel_of_a_cell_alike() -> None:
    windows = some_windows()
    logits, attended = small().attend(windows)
    assert logits is not None
    assert logits.shape == (4, 10, 10)
    for channel in range(3):
        expected = windows[..., channel] * logits.sigmoid()
        assert torch.equal(attended[..., channel], expected)


def test_masks_are_natural_tensors_over_their_windows() -> None:
    masks = small().masks(some_windows(), stride=24)
    assert isinstance(masks, Natural)
    assert masks.shape == (4, 24, 24, 1, 1)
    assert (masks.sigma_vu, masks.sigma_hw, masks.window_extent) == (10, 24, (240, 240))


def test_masks_have_the_published_sizes() -> None:
    masks = published().masks(torch.zeros(2, 10, 10, 128, device="meta"), stride=16)
    assert masks.window_size == (160, 160)
    assert published().mask == 40


@pytest.mark.parametrize("lam", [1, 2, 4])
def test_upsampling_is_the_fixed_bilinear_deconvolution(lam: int) -> None:
    coarse = small(upsample=1).masks(some_windows(), stride=4).data[..., 0, 0]
    tent = 1 - ((torch.arange(2 * lam) - lam + 0.5) / lam).abs()
    deconvolved = F.conv_transpose2d(
        coarse[:, None], (tent[:, None] * tent)[None, None], stride=lam
    )
    cut = lam // 2
    expected = deconvolved[:, 0, cut : cut + 6 * lam, cut : cut + 6 * lam]
    if lam == 1:
        expected = coarse
    found = small(upsample=lam).masks(some_windows(), stride=4).data[..., 0, 0]
    assert torch.allclose(found, expected, atol=1e-5)


def test_each_window_has_its_own_mask() -> None:
    head, windows = small(), some_windows()
    together = head.masks(windows, stride=4).data
    for k in range(4):
        assert torch.allclose(
            head.masks(windows[k : k + 1], stride=4).data[0], together[k], atol=1e-5
        )


def test_the_gain_is_that_of_a_norm_without_variance() -> None:
    assert pytest.approx(316.2278, abs=1e-4) == CAFFE_GAIN


def test_folding_leaves_the_masks_as_they_are() -> None:
    head = small(mask_gain=CAFFE_GAIN)
    before = head.masks(some_windows(), stride=4).data
    head.fold()
    assert torch.allclose(head.masks(some_windows(), stride=4).data, before, rtol=1e-4, atol=1e-3)
    assert head.mask_norm.gain == 1
    assert not head.mask_norm.bias.any()


def test_units_of_the_last_layer_are_cells_row_by_row() -> None:
    head, windows = small(upsample=1), some_windows()
    flat = head.mask_fc2(head.mask_norm(head.mask_fc1(windows.flatten(1))))
    masks = head.masks(windows, stride=4).data
    assert torch.allclose(masks[:, 1, 4, 0, 0], flat[:, 6 * 1 + 4], atol=1e-5)


def test_no_windows_have_no_masks() -> None:
    head, none = small(), some_windows(0)
    logits, attended = head.attend(none)
    assert logits is not None
    assert logits.shape == (0, 10, 10)
    assert head.masks(attended, stride=4).shape == (0, 24, 24, 1, 1)
    assert head.score(none).shape == (0,)
