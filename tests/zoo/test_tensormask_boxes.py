"""Box deltas."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tensormask_zoo.tensormask.boxes import decode_boxes, encode_boxes

WINDOW = torch.tensor([[10.0, 20.0, 50.0, 60.0]])  # 40 px
sides = st.tuples(*[st.floats(-100, 100)] * 2, *[st.floats(1, 500)] * 2)


@given(sides)
def test_decoding_inverts_encoding(side: tuple[float, float, float, float]) -> None:
    x0, y0, width, height = side
    box = torch.tensor([[x0, y0, x0 + width, y0 + height]])
    assert torch.allclose(decode_boxes(encode_boxes(box, WINDOW), WINDOW), box, atol=1e-2)


def test_no_deltas_mean_the_window_itself() -> None:
    assert torch.equal(decode_boxes(torch.zeros(1, 4), WINDOW), WINDOW)


def test_deltas_are_shifts_in_windows_and_logs_of_sides_with_the_published_weights() -> None:
    box = torch.tensor([[20.0, 0.0, 100.0, 80.0]])  # 20 px right of the window, twice as large
    expected = torch.tensor([[1.5 * 30 / 40, 0.0, 0.75 * math.log(2), 0.75 * math.log(2)]])
    assert torch.allclose(encode_boxes(box, WINDOW), expected)


def test_a_box_is_at_most_62_times_its_window() -> None:
    (box,) = decode_boxes(torch.tensor([[0.0, 0.0, 99.0, 0.75 * math.log(62.5)]]), WINDOW)
    assert (box[2:] - box[:2]).tolist() == pytest.approx([62.5 * 40] * 2, rel=1e-5)


def test_a_box_without_area_has_finite_deltas() -> None:
    assert encode_boxes(torch.tensor([[30.0, 40.0, 30.0, 40.0]]), WINDOW).isfinite().all()


def test_no_boxes_have_no_deltas() -> None:
    none = torch.zeros(0, 4)
    assert encode_boxes(none, none).shape == decode_boxes(none, none).shape == (0, 4)
