"""Images of any size: grouped by their padded size, and refused with a reason."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tensormask_zoo.image_batching import ImageBatching, check_images


def images(*sizes: tuple[int, int]) -> list[Tensor]:
    return [torch.rand(3, *size) for size in sizes]


def test_images_are_padded_to_the_next_multiple_and_no_further() -> None:
    batching = ImageBatching(size_divisible=32, min_size=None)
    found = list(batching.batches(images((1, 1), (64, 96), (33, 32), (17, 33), (60, 70))))
    assert [rows for rows, _ in found] == [[0], [1, 4], [2], [3]]
    shapes = [tuple(batch.tensors.shape[-2:]) for _, batch in found]
    assert shapes == [(32, 32), (64, 96), (64, 32), (32, 64)]


def test_a_batch_holds_its_images_normalised_in_the_top_left_corner() -> None:
    batching = ImageBatching(size_divisible=32, min_size=None)
    pictures = images((40, 33), (64, 64))
    ((_, batch),) = batching.batches(pictures)
    assert torch.equal(batch.tensors[0, :, :40, :33], batching.normalize(pictures[0]))
    assert not batch.tensors[0, :, 40:].any()
    assert batch.image_sizes == [(40, 33), (64, 64)]


def test_no_images_make_no_batch() -> None:
    assert list(ImageBatching(size_divisible=32).batches([])) == []


def test_images_are_resized_before_they_are_grouped() -> None:
    batching = ImageBatching(size_divisible=32, min_size=64, max_size=128).eval()
    ((rows, batch),) = batching.batches(images((32, 32), (128, 128)))
    assert (rows, tuple(batch.tensors.shape[-2:])) == ([0, 1], (64, 64))


def test_short_sides_are_drawn_in_training_and_the_last_is_taken_otherwise() -> None:
    torch.manual_seed(0)
    batching = ImageBatching(size_divisible=32, min_size=(32, 48, 64), max_size=128)
    (picture,) = images((40, 50))
    drawn = {batching.train().resize(picture)[0].shape[1] for _ in range(30)}
    assert drawn == {32, 48, 64}
    assert {batching.eval().resize(picture)[0].shape[1] for _ in range(5)} == {64}


def test_an_image_too_thin_to_be_resized_is_refused() -> None:
    batching = ImageBatching(size_divisible=32, min_size=80, max_size=100).eval()
    assert batching.resize(torch.rand(3, 1, 100))[0].shape == (3, 1, 100)
    with pytest.raises(ValueError, match=r"\(1, 101\) px has no pixel left"):
        batching.resize(torch.rand(3, 1, 101))


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (torch.zeros(3, 8, 8, dtype=torch.uint8), TypeError, "got torch.uint8 in row 1; divide"),
        ("a.jpg", TypeError, "got str in row 1"),
        (torch.zeros(8, 8), ValueError, r"RGB \(3, H, W\) .* got \(8, 8\)"),
        (torch.zeros(1, 3, 8, 8), ValueError, "a list of images, not a batch"),
        (torch.zeros(4, 8, 8), ValueError, r"got \(4, 8, 8\)"),
        (torch.zeros(3, 0, 8), ValueError, "at least one pixel"),
        (255 * torch.ones(3, 8, 8), ValueError, "got up to 255 in row 1; divide"),
    ],
)
def test_other_images_are_refused(image: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        check_images([torch.rand(3, 8, 8), image])


def test_images_a_little_outside_the_range_pass() -> None:
    check_images([1.2 * torch.rand(3, 8, 8) - 0.1, torch.rand(3, 1, 1).half()])
