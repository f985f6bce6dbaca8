"""Boundary IoU, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tensormask_core.masks import decode, encode
from tensormask_zoo.proposals.boundary import boundaries, boundary_iou

SHARE = 2 / np.hypot(20, 20)  # 2 px in the images here


def square(y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
    mask = np.zeros((1, 20, 20), bool)
    mask[0, y0:y1, x0:x1] = True
    return mask


def boundary(mask: np.ndarray) -> np.ndarray:
    return decode(boundaries(encode(mask), share=SHARE))


def test_the_inside_is_left_out() -> None:
    assert (boundary(square(2, 3, 12, 17)) == square(2, 3, 12, 17) & ~square(4, 5, 10, 15)).all()


def test_the_edge_of_the_image_is_a_contour() -> None:
    assert (boundary(square(0, 0, 20, 20)) == ~square(2, 2, 18, 18)).all()


def test_holes_have_contours() -> None:
    frame = square(0, 0, 20, 20) & ~square(9, 9, 10, 10)
    expected = ~square(2, 2, 18, 18) | (square(7, 7, 12, 12) & frame)
    assert (boundary(frame) == expected).all()


def test_a_thin_mask_is_all_boundary() -> None:
    assert (boundary(square(3, 3, 7, 19)) == square(3, 3, 7, 19)).all()


def test_an_empty_mask_has_none() -> None:
    assert not boundary(square(0, 0, 0, 0)).any()


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_the_distance_is_that_of_the_chessboard(seed: int, width_px: int) -> None:
    mask = np.random.default_rng(seed).random((12, 13)) < 0.93
    outside = np.argwhere(np.pad(~mask, 1, constant_values=True)) - 1  # (B, 2) yx
    far = np.abs(np.indices(mask.shape)[:, :, :, None] - outside.T[:, None, None]).max(axis=0)
    expected = mask & (far.min(axis=-1) <= width_px)
    found = decode(boundaries(encode(mask[None]), share=width_px / np.hypot(12, 13)))[0]
    assert (found == expected).all()


def test_equal_masks_agree_and_distant_ones_do_not() -> None:
    a, b = encode(square(2, 2, 12, 12)), encode(square(2, 13, 12, 19))
    assert boundary_iou(a, [*a, *b], share=SHARE).tolist() == [[1.0, 0.0]]


def test_a_contour_that_is_off_weighs_more_than_in_mask_iou() -> None:
    # 16 x 16 and 14 x 14 within: frames of 112 and 96 px, of which a ring of 52 is common
    a, b = encode(square(2, 2, 18, 18)), encode(square(3, 3, 17, 17))
    assert boundary_iou(a, b, share=SHARE)[0, 0] == pytest.approx(52 / (112 + 96 - 52))


def test_the_distance_is_at_least_a_pixel() -> None:
    rles = encode(square(2, 2, 18, 18))
    assert decode(boundaries(rles, share=0.0)).sum() == 60


@pytest.mark.parametrize(("a", "b"), [(0, 2), (2, 0), (0, 0)])
def test_no_masks_have_no_overlaps(a: int, b: int) -> None:
    rles = encode(square(2, 2, 18, 18)) * 2
    assert boundary_iou(rles[:a], rles[:b]).shape == (a, b)


def test_masks_of_two_image_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[\(8, 8\), \(20, 20\)\]"):
        boundary_iou(encode(square(0, 0, 2, 2)), encode(np.ones((1, 8, 8))))
