"""The compiled masks against the core's own path: equal to the last bit."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tensormask_core.masks import encode
from tensormask_core.masks.paste import paste_regions
from tensormask_core.testing import require

require("numba")
pytest.importorskip("pycocotools.mask")

from tensormask_numba import _masks  # noqa: E402  (once it is known to be there)

Array = npt.NDArray[Any]
COORDINATE = st.one_of(st.integers(-8, 16).map(float), st.floats(-40, 60, width=32))
THRESHOLD = st.sampled_from([0.25, 0.5, 0.75, 0.4, 1.0, 1e-30, 1e-42])


@st.composite
def cases(draw: Any, least: float = 0.0) -> tuple[Array, Array, tuple[int, int]]:
    """Windows whose values often lie on a threshold, boxes of any kind and a small image."""
    window = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    count, rng = draw(st.integers(0, 4)), np.random.default_rng(draw(st.integers(0, 99)))
    boxes = draw(st.lists(st.tuples(*[COORDINATE] * 4), min_size=count, max_size=count))
    values = rng.uniform(least, 1, (count, *window))
    if draw(st.booleans()):
        values = np.round(values * 4) / 4
    image_size = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return values.astype(dtype), np.reshape(boxes, (count, 4)), image_size


def dense_counts(windows: Array, boxes: Array, size: tuple[int, int], level: float) -> list[bytes]:
    return [rle["counts"] for rle in encode(paste_regions(windows, boxes, size, level))]


def random_case(
    count: int, cells: int, size: tuple[int, int], dtype: str = "float32"
) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    sides = np.exp(rng.uniform(np.log(4), np.log(size[0]), (count, 2)))
    low = rng.uniform(-0.2, 1, (count, 2)) * size[::-1]
    return rng.random((count, cells, cells)).astype(dtype), np.concatenate([low, low + sides], 1)


@given(case=cases(least=-1.0), threshold=st.one_of(st.none(), THRESHOLD, st.just(-0.5)))
def test_paste_equals_the_core(case: Any, threshold: float | None) -> None:
    found, expected = _masks.paste(*case, threshold), paste_regions(*case, threshold)
    assert found.dtype == expected.dtype
    assert_array_equal(found, expected)


@given(case=cases(), threshold=THRESHOLD)
def test_runs_equal_the_encoded_paste(case: Any, threshold: float) -> None:
    assert _masks.encode(*case, threshold) == dense_counts(*case, threshold)


@pytest.mark.parametrize("cells", [1, 2, 15, 120])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_masks_equal_the_encoded_paste(cells: int, dtype: str) -> None:
    case = (*random_case(20, cells, (150, 230), dtype), (150, 230))
    assert _masks.encode(*case, 0.5) == dense_counts(*case, 0.5)


@pytest.mark.parametrize("value", [np.nextafter(np.float32(0.3), 0), np.float32(0.3)])
def test_constant_windows_at_the_threshold(value: Any) -> None:
    windows = np.full((1, 7, 5), value, np.float32)
    case = (windows, np.array([[1.3, 2.1, 55.7, 77.9]]), (80, 60))
    assert _masks.encode(*case, 0.3) == dense_counts(*case, 0.3)


@pytest.mark.parametrize("value", [np.inf, np.nan, -np.inf])
def test_windows_that_are_not_finite(value: float) -> None:
    windows = np.ones((1, 3, 3), np.float32)
    windows[0, 1, 1] = value
    case = (windows, np.array([[0.0, 0, 9, 9]]), (9, 9))
    with np.errstate(invalid="ignore"):
        assert _masks.encode(*case, 0.5) == dense_counts(*case, 0.5)


def test_counts_outgrow_the_buffer() -> None:
    stripes = np.tile(np.array([[1.0], [0.0]], np.float32), (40, 80))[None]
    case = (stripes, np.array([[0.0, 0, 80, 80]]), (90, 85))
    (counts,) = _masks.encode(*case, 0.5)
    assert [counts] == dense_counts(*case, 0.5)
    assert len(counts) > 4096


def test_strided_and_read_only_windows() -> None:
    windows, boxes = random_case(6, 9, (50, 40))
    strided = np.repeat(windows, 2, axis=2)[:, :, ::2].transpose(0, 2, 1)
    strided.flags.writeable = boxes.flags.writeable = False
    case = (strided, boxes, (50, 40))
    assert_array_equal(_masks.paste(*case, 0.5), paste_regions(*case, 0.5))
    assert _masks.encode(*case, 0.5) == dense_counts(*case, 0.5)


def test_memory_stays_under_one_image() -> None:
    size = (1200, 1800)
    case = (*random_case(100, 120, size), size)
    _masks.encode(*case, 0.5)
    tracemalloc.start()  # which sees the arrays of compiled functions too
    _masks.encode(*case, 0.5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < size[0] * size[1]


def test_runs_are_the_same_every_time() -> None:
    case = (*random_case(20, 15, (100, 90)), (100, 90))
    assert _masks.encode(*case, 0.5) == _masks.encode(*case, 0.5)
