"""FastMask's sliding windows: where they are, what they see, how they are normalised."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tensormask_core import LayoutError
from tensormask_zoo.fastmask.windows import WindowNorm, WindowTable, window_grid

SIZES = ((37, 60), (30, 41))  # of two images, px
STRIDES = (4, 6)


def maps(seed: int = 0) -> list[Tensor]:
    """Return maps of a batch of 40 x 60 px."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, -(-40 // s), -(-60 // s), generator=generator) for s in STRIDES]


def by_definition(x: Tensor, size: tuple[int, int], stride: int, window: int) -> Tensor:
    """Return all windows of one image's map (C, h, w), in the order of the grid."""
    own = x[:, : -(-size[0] // stride), : -(-size[1] // stride)]
    padded = F.pad(own, (window // 2,) * 4)
    h, w = own.shape[1] + 1, own.shape[2] + 1
    found = [padded[:, i : i + window, j : j + window] for i in range(h) for j in range(w)]
    return torch.stack(found).permute(0, 2, 3, 1)  # (K, V, U, C)


def all_windows(table: WindowTable, image: int) -> Tensor:
    grid = window_grid(SIZES[image], STRIDES, table.window)
    return table.windows(table.rows(image, grid.unravel(np.arange(len(grid)))))


def expected(image: int, window: int, levels: list[Tensor] | None = None) -> Tensor:
    pairs = zip(levels or maps(), STRIDES, strict=True)
    return torch.cat([by_definition(x[image], SIZES[image], s, window) for x, s in pairs])


@pytest.mark.parametrize(("size", "stride"), [((64, 96), 16), ((65, 96), 16), ((1, 1), 24)])
def test_a_map_of_h_by_w_has_one_window_more_each_way(size: tuple[int, int], stride: int) -> None:
    h, w = (-(-side // stride) for side in size)
    assert len(window_grid(size, (stride,))) == (h + 1) * (w + 1)


def test_windows_are_centred_on_multiples_of_the_stride() -> None:
    grid = window_grid((64, 96), (16, 24))
    assert grid.centres([0, 1, 7]).tolist() == [[0, 0], [0, 16], [16, 0]]
    assert grid.boxes([8]).tolist() == [[16 - 80, 16 - 80, 16 + 80, 16 + 80]]


@pytest.mark.parametrize("window", [2, 10])
@pytest.mark.parametrize("image", [0, 1])
def test_a_window_sees_its_cells_and_zeros_around_its_own_image(image: int, window: int) -> None:
    table = WindowTable.of(maps(), SIZES, STRIDES, window)
    assert torch.equal(all_windows(table, image), expected(image, window))


def test_a_cell_weighs_as_many_windows_as_see_it() -> None:
    table = WindowTable.of(maps(), SIZES, STRIDES, 4)
    seen = torch.zeros(len(table.cells))
    for image, size in enumerate(SIZES):
        grid = window_grid(size, STRIDES, 4)
        rows = table.rows(image, grid.unravel(np.arange(len(grid)))).flatten()
        seen.index_add_(0, rows, torch.ones(len(rows)))
    assert torch.equal(seen, table.weight)


def test_the_norm_in_training_is_batch_norm_over_all_windows() -> None:
    norm, table = WindowNorm(3), WindowTable.of(maps(), SIZES, STRIDES, 4)
    found = norm(table)
    everything = torch.cat([expected(image, 4) for image in (0, 1)]).flatten(0, 2)
    wanted = nn.BatchNorm1d(3)(everything).view(-1, 4, 4, 3)
    assert torch.allclose(torch.cat([all_windows(found, n) for n in (0, 1)]), wanted, atol=1e-5)


def test_the_gradient_is_that_of_batch_norm_over_all_windows() -> None:
    ours, theirs = ([x.requires_grad_() for x in maps()] for _ in range(2))
    table = WindowNorm(3)(WindowTable.of(ours, SIZES, STRIDES, 4))
    found = torch.cat([all_windows(table, n) for n in (0, 1)])
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(2))
    (found * weights).sum().backward()
    everything = torch.cat([expected(n, 4, theirs) for n in (0, 1)])
    normalised = nn.BatchNorm1d(3)(everything.flatten(0, 2)).view(found.shape)
    (normalised * weights).sum().backward()
    for x, y in zip(ours, theirs, strict=True):
        assert torch.allclose(x.grad, y.grad, atol=1e-4)


def test_the_running_statistics_are_used_in_evaluation() -> None:
    norm, table = WindowNorm(3, momentum=1.0), WindowTable.of(maps(), SIZES, STRIDES, 4)
    trained = norm(table).cells
    assert torch.allclose(norm.eval()(table).cells, trained, atol=1e-5)
    other = WindowTable.of(maps(seed=1), SIZES, STRIDES, 4)
    assert not torch.allclose(norm(other).cells, norm.train()(other).cells, atol=1e-3)


def test_scale_and_shift_are_learnt() -> None:
    norm, table = WindowNorm(3), WindowTable.of(maps(), SIZES, STRIDES, 4)
    plain = norm(table).cells
    nn.init.constant_(norm.weight, 2.0)
    nn.init.constant_(norm.bias, 5.0)
    assert torch.allclose(norm(table).cells, 2 * plain + 5, atol=1e-5)


def test_windows_without_a_centre_are_refused() -> None:
    with pytest.raises(LayoutError, match="even number of cells, got 5"):
        WindowTable.of(maps(), SIZES, STRIDES, 5)
