"""Which function serves which array type, and what happens where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pytest

from tensormask_core.errors import BackendAmbiguous
from tensormask_core.masks import _kernels, paste, windows_to_rle
from tensormask_core.masks._kernels import PASTE, RLE

WINDOWS, BOX = np.ones((1, 2, 2), np.float32), [[0, 0, 2, 2]]
CALLS: list[Any] = []


class Offered(np.ndarray):
    """An array type of its own, with numpy's behaviour."""


def fake_paste(*arguments: Any) -> str:
    CALLS.append(arguments)
    return "pasted"


def fake_encode(*_: Any) -> list[bytes]:
    return [b"22"]


def refuse(*_: Any) -> Any:
    return NotImplemented


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Replace what is installed by (group, array type, function) entries."""
    points: list[EntryPoint] = []

    def add(group: str, array_type: str, function: str) -> None:
        points.append(EntryPoint(array_type, function, group))
        _kernels._kernel.cache_clear()

    def offers(group: str, name: str) -> dict[str, EntryPoint]:
        return {
            point.value: point for point in points if (point.group, point.name) == (group, name)
        }

    monkeypatch.setattr(_kernels, "offers", offers)
    _kernels._kernel.cache_clear()
    yield add
    _kernels._kernel.cache_clear()


def test_paste_asks_the_kernel_of_the_array_type(offer: Any) -> None:
    offer(PASTE, "numpy.ndarray", f"{__name__}:fake_paste")
    assert paste(WINDOWS, BOX, (3, 4), threshold=0.5) == "pasted"
    windows, boxes, size, threshold = CALLS.pop()
    assert windows.dtype == np.float32
    assert boxes.dtype == np.float64
    assert (size, threshold) == ((3, 4), 0.5)


def test_a_type_inherits_the_kernel_of_its_base(offer: Any) -> None:
    offer(PASTE, "numpy.ndarray", f"{__name__}:fake_paste")
    assert paste(WINDOWS.view(Offered), BOX, (3, 4)) == "pasted"


def test_rle_takes_the_counts_of_the_kernel(offer: Any) -> None:
    offer(RLE, "numpy.ndarray", f"{__name__}:fake_encode")
    assert windows_to_rle(WINDOWS, BOX, (2, 2)) == [{"size": [2, 2], "counts": b"22"}]


@pytest.mark.parametrize("function", ["tests_nothing_here:paste", f"{__name__}:refuse"])
def test_without_a_kernel_the_core_pastes(offer: Any, function: str) -> None:
    offer(PASTE, "numpy.ndarray", function)
    assert paste(WINDOWS, BOX, (3, 4)).sum() == pytest.approx(4, abs=1e-6)


def test_two_offers_for_one_type_are_an_error(offer: Any) -> None:
    offer(PASTE, "numpy.ndarray", f"{__name__}:fake_paste")
    offer(PASTE, "numpy.ndarray", f"{__name__}:refuse")
    with pytest.raises(BackendAmbiguous, match=r"fake_paste.*refuse; uninstall all but one"):
        paste(WINDOWS, BOX, (3, 4))
