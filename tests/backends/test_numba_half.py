"""float16 to float32 and back by the numba backend, compared with numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tensormask_core.testing import require

require("numba")

from tensormask_numba._half import as_float16, as_float32, converts_halves  # noqa: E402
from tensormask_numba._threads import run_in_threads  # noqa: E402

pytestmark = pytest.mark.skipif(not converts_halves(), reason="the processor has no float16")


def in_two_threads(task: Callable[[int, int], None], count: int, samples: int) -> None:
    run_in_threads(task, count, 2)


def every_half() -> Any:
    return np.arange(1 << 16, dtype=np.uint16).view(np.float16)


def test_every_float16_has_its_float32() -> None:
    halves = every_half().reshape(2, 16, -1)
    np.testing.assert_array_equal(as_float32(halves, in_two_threads), halves.astype(np.float32))


def test_an_array_of_any_strides_is_read_in_its_order() -> None:
    halves = np.arange(24, dtype=np.float16).reshape(4, 6).T
    assert as_float32(halves, in_two_threads).tolist() == halves.tolist()


@pytest.mark.parametrize("scale", [1e-8, 1e-5, 1.0, 1e5])
def test_float32_are_rounded_as_numpy_rounds(scale: float) -> None:
    noise = np.random.default_rng(0).normal(scale=scale, size=10_000)
    values = np.append(noise, [0.0, -0.0, np.inf, -np.inf, np.nan]).astype(np.float32)
    with np.errstate(over="ignore", under="ignore"):
        expected = values.astype(np.float16)
    found = as_float16(values, in_two_threads)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))


def test_what_lies_between_two_float16_goes_to_the_even_one() -> None:
    halves = np.arange(1, 1 << 14, dtype=np.uint16).view(np.float16).astype(np.float32)
    between = (halves[1:] + halves[:-1]) / 2
    np.testing.assert_array_equal(as_float16(between, in_two_threads), between.astype(np.float16))
