"""Each mistake of a caller is a clear error that says what was expected and what came."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tensormask_core import (
    Aligned,
    BackendUnavailable,
    LayoutError,
    MaskTensor,
    Natural,
    UnitError,
    Units,
    get_backend,
    ops,
    use_backend,
)

X = np.zeros((2, 3, 3, 8, 8))
INDEX = np.array([[0, 1, 1]])


@pytest.mark.parametrize("shape", [(), (8,), (9, 8, 8)])
def test_wrong_rank(shape: tuple[int, ...]) -> None:
    with pytest.raises(LayoutError, match=r"at least 4 axes, got shape .*from_channels"):
        ops.align2nat(np.zeros(shape))


def test_wrong_rank_of_a_mask_tensor() -> None:
    with pytest.raises(LayoutError, match=r"Aligned expects .* got shape \(9, 8, 8\)"):
        Aligned(np.zeros((9, 8, 8)), sigma_vu=4, sigma_hw=4)


@pytest.mark.parametrize("method", ["align2nat", "up_align2nat", "swap_align2nat"])
def test_natural_where_aligned_is_needed(method: str) -> None:
    natural = Natural(X, sigma_vu=4, sigma_hw=4)
    with pytest.raises(LayoutError, match=f"{method} expects an aligned tensor, got a natural one"):
        getattr(natural, method)(2)


def test_aligned_where_natural_is_needed() -> None:
    aligned: Any = Aligned(X, sigma_vu=4, sigma_hw=4)
    with pytest.raises(LayoutError, match="nat2align expects a natural tensor, got an aligned one"):
        aligned.nat2align()


def test_tensor_of_no_representation() -> None:
    with pytest.raises(TypeError, match="make it Natural or Aligned"):
        MaskTensor(X, sigma_vu=4, sigma_hw=4)


@pytest.mark.parametrize("data", [[[[[1.0]]]], 1.0, None, "x"])
def test_no_array(data: Any) -> None:
    with pytest.raises(TypeError, match=r"expects an array .*convert it, e.g. numpy.asarray"):
        ops.align2nat(data)
    with pytest.raises(TypeError, match="Natural expects an array"):
        Natural(data, sigma_vu=4, sigma_hw=4)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "complex128"])
def test_dtype_that_cannot_be_blended(dtype: str) -> None:
    with pytest.raises(TypeError, match=f"expects one of float16, .* got {dtype}; convert it"):
        ops.align2nat(np.zeros((3, 3, 8, 8), dtype))


def test_units_that_do_not_divide() -> None:
    expected = r"a window of 3 cells must stay whole, got 4\.5 cells .*\(lam = 1\.5\).*4/3"
    with pytest.raises(UnitError, match=expected):
        ops.up_bilinear(X, 1.5)


@pytest.mark.parametrize("value", [math.nan, math.inf, 0, -2.0])
@pytest.mark.parametrize("operator", ["up_bilinear", "up_nearest", "subsample", "swap_align2nat"])
def test_impossible_lam(operator: str, value: float) -> None:
    with pytest.raises(UnitError, match=f"lam must be positive and finite, got {value}"):
        getattr(ops, operator)(X, value)


@pytest.mark.parametrize("value", [True, "2", None, 2j])
def test_lam_that_is_no_number(value: Any) -> None:
    with pytest.raises(UnitError, match="lam must be a positive number, got"):
        ops.up_align2nat(X, value)


@pytest.mark.parametrize("operator", [ops.align2nat, ops.nat2align])
def test_impossible_alpha(operator: Any) -> None:
    with pytest.raises(UnitError, match="alpha must be positive and finite, got -1"):
        operator(X, -1)


@pytest.mark.parametrize("units", [(math.nan, 4), (4, 0), (-4, 4), (4, math.inf)])
def test_impossible_units(units: tuple[float, float]) -> None:
    with pytest.raises(UnitError, match=r"sigma_(vu|hw) must be positive and finite"):
        Units(*units)
    with pytest.raises(UnitError, match=r"sigma_(vu|hw) must be positive and finite"):
        Aligned(X, *units)


@pytest.mark.parametrize("method", ["up", "subsample"])
def test_impossible_lam_of_a_method(method: str) -> None:
    with pytest.raises(UnitError, match="lam must be positive and finite, got 0"):
        getattr(Natural(X, sigma_vu=4, sigma_hw=4), method)(0)


def test_units_in_no_ratio_of_integers() -> None:
    with pytest.raises(UnitError, match=r"ratio of small integers, got .*nearest legal ratio"):
        Aligned(X, sigma_vu=math.pi, sigma_hw=1).align2nat()


def test_mixed_libraries() -> None:
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(TypeError, match="one library, got numpy and array_api_strict; convert"):
        ops.swap_align2nat_at(X, strict.asarray(INDEX), 2)


def test_index_that_is_a_list() -> None:
    with pytest.raises(TypeError, match=r"index expects an array \(K, 3\) of integers, got list"):
        ops.swap_align2nat_at(X, [[0, 1, 1]], 2)  # type: ignore[type-var]  # meant


@pytest.mark.parametrize("shape", [(3,), (2, 2), (2, 4), (1, 1, 3)])
def test_index_of_wrong_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(LayoutError, match=r"index expects shape \(K, 3\), .* got \("):
        ops.swap_align2nat_at(X, np.zeros(shape, int), 2)


@pytest.mark.parametrize("dtype", ["float32", "bool"])
def test_index_of_wrong_dtype(dtype: str) -> None:
    with pytest.raises(LayoutError, match=f"index expects integers, got {dtype}"):
        ops.swap_align2nat_at(X, INDEX.astype(dtype), 2)


@pytest.mark.parametrize("backend", ["numpy", "array_api"])
@pytest.mark.parametrize("image", [-1, 2])
def test_image_out_of_range(backend: str, image: int) -> None:
    with use_backend(backend), pytest.raises(IndexError, match=r"batch indices in \[0, 2\)"):
        ops.swap_align2nat_at(X, np.array([[image, 0, 0]]), 2)


@pytest.mark.parametrize("images", [(0, 3), (2, 0), (-1, 3), (1, -1)])
def test_image_out_of_range_of_one_batch_axis(images: tuple[int, int]) -> None:
    x = np.zeros((2, 3, 3, 3, 8, 8))
    with pytest.raises(IndexError, match=r"batch indices in \[0, 6\)"):
        ops.swap_align2nat_at(x, np.array([[*images, 0, 0]]), 2)


def test_unknown_mode() -> None:
    with pytest.raises(LayoutError, match="one of 'bilinear', 'nearest', got 'cubic'"):
        ops.up_align2nat(X, 2, mode="cubic")  # type: ignore[arg-type]  # meant


def test_unknown_border() -> None:
    with pytest.raises(LayoutError, match="one of 'pad', 'edge', got 'wrap'"):
        ops.swap_align2nat(X, 2, vu_border="wrap")  # type: ignore[arg-type]  # meant


def test_channels_that_are_no_window() -> None:
    expected = r"expects \(\*batch, 9, H, W\) for a window of \(3, 3\), got \(2, 8, 4, 4\)"
    with pytest.raises(LayoutError, match=expected):
        ops.from_channels(np.zeros((2, 8, 4, 4)), 3)


@pytest.mark.parametrize("window", ["3", 3.0, (3,), (3, 3, 1), (3, 2.5), None, True, (True, 3)])
def test_window_that_is_no_pair_of_integers(window: Any) -> None:
    with pytest.raises(LayoutError, match=r"a window expects V = U or \(V, U\), whole numbers"):
        ops.from_channels(np.zeros((9, 4, 4)), window)


@pytest.mark.parametrize("window", [0, (3, -3)])
def test_window_without_cells(window: Any) -> None:
    with pytest.raises(LayoutError, match="at least 1 x 1 cells"):
        ops.from_channels(np.zeros((9, 4, 4)), window)


def test_channels_of_no_array() -> None:
    with pytest.raises(TypeError, match=r"from_channels expects an array \(\*batch, V\*U, H, W\)"):
        ops.from_channels([[[1.0]]], 1)


def test_assemble_out_of_proportion() -> None:
    with pytest.raises(UnitError, match=r"score maps' \(3, 3\), got \(21, 20\); cells are square"):
        ops.assemble(X, (21, 20))


def test_unknown_backend() -> None:
    with pytest.raises(BackendUnavailable, match=r"no backend 'tensorflow'; installed are .*numpy"):
        get_backend("tensorflow")
    with (
        pytest.raises(BackendUnavailable, match="no backend 'tensorflow'"),
        use_backend("tensorflow"),
    ):
        pass
