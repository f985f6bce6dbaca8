"""FastMask's images: resized by their longest side."""

from __future__ import annotations

import pytest
import torch

from tensormask_zoo.fastmask import fastmask_pvanet
from tensormask_zoo.fastmask.longest_side import LongestSide

PICTURES = [torch.zeros(3, 30, 40), torch.zeros(3, 50, 20)]


def test_the_longest_side_is_the_same_for_all_images() -> None:
    batching = LongestSide(size_divisible=8, longest_side=80).eval()
    assert batching(PICTURES)[0].image_sizes == [(60, 80), (80, 32)]


def test_training_draws_a_side_for_each_image() -> None:
    torch.manual_seed(0)
    batching = LongestSide(size_divisible=8, longest_side=99, train_sides=range(80, 85))
    sizes = [max(size) for _ in range(20) for size in batching(PICTURES)[0].image_sizes]
    assert set(sizes) == {80, 81, 82, 83, 84}
    assert {max(size) for size in batching.eval()(PICTURES)[0].image_sizes} == {99}


def test_images_may_keep_their_size() -> None:
    batching = LongestSide(size_divisible=8, longest_side=None)
    assert batching(PICTURES)[0].image_sizes == [(30, 40), (50, 20)]


def test_the_published_sizes_are_the_default() -> None:
    with torch.device("meta"):
        batching = fastmask_pvanet().transform
    assert (batching.longest_side, batching.train_sides) == (1300, tuple(range(800, 870)))


def test_a_side_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="expect 1 px or more, got 0"):
        LongestSide(size_divisible=8, longest_side=0)
