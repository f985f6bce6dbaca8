"""The test of the tests: each deliberately broken backend must be caught, the reference passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tensormask_numpy._backend as reference
from tensormask_core import get_backend, taps
from tensormask_core.plan import Plan
from tensormask_core.testing import CHECKS, conformance_suite, failing_checks, require
from tensormask_numpy._backend import NumpyBackend

Array = Any


class Replanned(NumpyBackend):
    """Evaluates another plan than it is asked for."""

    def __init__(self, change: Callable[[Plan], Plan]) -> None:
        self._change = change

    def transform(self, x: Array, plan: Plan) -> Array:
        return super().transform(x, self._change(plan))

    def transform_adjoint(self, g: Array, plan: Plan) -> Array:
        return super().transform_adjoint(g, self._change(plan))

    def windows(self, x: Array, plan: Plan, index: Array) -> Array:
        return super().windows(x, self._change(plan), index)

    def windows_adjoint(self, g: Array, plan: Plan, index: Array, batch: int) -> Array:
        return super().windows_adjoint(g, self._change(plan), index, batch)


class Dense(NumpyBackend):
    """Spoils what goes into the dense transform, or what comes out of it."""

    def __init__(self, spoil: Callable[[Array, Plan, Callable[..., Array]], Array]) -> None:
        self._spoil = spoil

    def transform(self, x: Array, plan: Plan) -> Array:
        return self._spoil(x, plan, super().transform)


class DenseAdjoint(NumpyBackend):
    """Spoils the dense adjoint."""

    def __init__(self, spoil: Callable[[Array, Plan, Callable[..., Array]], Array]) -> None:
        self._spoil = spoil

    def transform_adjoint(self, g: Array, plan: Plan) -> Array:
        return self._spoil(g, plan, super().transform_adjoint)


class Sparse(NumpyBackend):
    """Spoils the index of sparse windows."""

    def __init__(self, spoil: Callable[[Array, Plan, int], Array]) -> None:
        self._spoil = spoil

    def windows(self, x: Array, plan: Plan, index: Array) -> Array:
        return super().windows(x, plan, self._spoil(index, plan, x.shape[0]))

    def windows_adjoint(self, g: Array, plan: Plan, index: Array, batch: int) -> Array:
        return super().windows_adjoint(g, plan, self._spoil(index, plan, batch), batch)


class Overwriting(NumpyBackend):
    """Keeps only the last of several windows at one place."""

    def windows_adjoint(self, g: Array, plan: Plan, index: Array, batch: int) -> Array:
        last = {tuple(place): k for k, place in enumerate(index.tolist())}
        keep = sorted(last.values())
        return super().windows_adjoint(g[keep], plan, index[keep], batch)


def negated(plan: Plan) -> Plan:
    return replace(plan, a=(-plan.a[0], plan.a[1]))


def one_way(plan: Plan) -> Plan:
    return replace(plan, a=(abs(plan.a[0]), plan.a[1]))


def swapped_window(x: Array, plan: Plan, transform: Callable[..., Array]) -> Array:
    flipped = replace(plan, window_in=plan.window_in[::-1], window_out=plan.window_out[::-1])
    return transform(x.swapaxes(1, 2), flipped).swapaxes(1, 2)


def swapped_grid(x: Array, plan: Plan, transform: Callable[..., Array]) -> Array:
    flipped = replace(plan, grid_in=plan.grid_in[::-1], grid_out=plan.grid_out[::-1])
    return transform(x.swapaxes(3, 4), flipped).swapaxes(3, 4)


def shorter(x: Array, plan: Plan, transform: Callable[..., Array]) -> Array:
    rows = max(1, plan.grid_in[0] * plan.s[1] // plan.s[0])  # floor where ceil is asked for
    return transform(x, replace(plan, grid_out=(rows, plan.grid_out[1])))


def rising(x: Array, plan: Plan, transform: Callable[..., Array]) -> Array:
    out = transform(x, plan)
    return out * np.linspace(1, 1.1, out.shape[3], dtype=out.dtype)[:, None]


def in_place(x: Array, plan: Plan, transform: Callable[..., Array]) -> Array:
    out = transform(x, plan)
    x *= 2
    return out


def noisy(x: Array, plan: Plan, transform: Callable[..., Array]) -> Array:
    out = transform(x, plan)
    return out + np.random.default_rng().normal(scale=1e-6, size=out.shape).astype(out.dtype)


def as_if_contiguous(x: Array, plan: Plan, transform: Callable[..., Array]) -> Array:
    strides = np.empty(x.shape, x.dtype).strides
    return transform(np.lib.stride_tricks.as_strided(x, strides=strides), plan)


def leaking(x: Array, plan: Plan, transform: Callable[..., Array]) -> Array:
    out = transform(x, plan)
    with np.errstate(invalid="ignore"):
        return out + np.zeros_like(out) * out.dtype.type(plan.pad_value)


def not_empty(x: Array, plan: Plan, transform: Callable[..., Array]) -> Array:
    return transform(x - x.max() + x.max(), plan)


def with_padding(g: Array, plan: Plan, adjoint: Callable[..., Array]) -> Array:
    return adjoint(g + g.dtype.type(plan.pad_value), plan)


def unclamped_edge(g: Array, plan: Plan, adjoint: Callable[..., Array]) -> Array:
    return adjoint(g, replace(plan, vu_border="pad"))  # drops the taps that the edge repeats


def doubled_in_place(index: Array, plan: Plan, batch: int) -> Array:
    spoilt = index.copy()
    index += 1
    return spoilt


def only_int64(index: Array, plan: Plan, batch: int) -> Array:
    return index.view(np.int64) if index.dtype == np.int64 else index * 2


def clamped(index: Array, plan: Plan, batch: int) -> Array:
    grid = np.array(plan.grid_out) - 1
    return np.concatenate([index[:, :1], np.clip(index[:, 1:], 0, grid)], axis=1)


MUTANTS: dict[str, tuple[NumpyBackend, str]] = {
    # name: (backend, the properties that must fail)
    "sign of alpha": (Replanned(negated), "transform_matches_oracle matches_hand_computed"),
    "one direction": (Replanned(one_way), "nat2align_undoes_align2nat adjoint_matches_oracle"),
    "pad ignored": (
        Replanned(lambda plan: replace(plan, pad_value=0.0)),
        "matches_hand_computed_padding constant_stays_constant_inside windows_match_oracle",
    ),
    "border ignored": (
        Replanned(lambda plan: replace(plan, vu_border="pad")),
        "transform_matches_oracle windows_adjoint_matches_oracle matches_hand_computed",
    ),
    "mode ignored": (
        Replanned(lambda plan: replace(plan, mode="bilinear")),
        "transform_matches_oracle nearest_copies_cells",
    ),
    "swapped V and U": (Dense(swapped_window), "transform_matches_oracle windows_equal_dense"),
    "swapped H and W": (Dense(swapped_grid), "transform_matches_oracle windows_equal_dense"),
    "extent off by one": (
        Dense(shorter),
        "transform_matches_oracle swap_is_upscale_then_subsample",
    ),
    "adjoint of the other direction": (
        DenseAdjoint(lambda g, plan, adjoint: adjoint(g, negated(plan))),
        "adjoint_matches_oracle adjoint_transposes_transform",
    ),
    "adjoint lacks the edge's taps": (
        DenseAdjoint(unclamped_edge),
        "adjoint_matches_oracle adjoint_transposes_transform",
    ),
    "padding in the adjoint": (DenseAdjoint(with_padding), "adjoint_ignores_padding"),
    "windows off by one": (
        Sparse(lambda index, plan, batch: index + np.array([0, 1, 0])),
        "windows_match_oracle windows_equal_dense windows_adjoint_matches_oracle",
    ),
    "windows kept inside": (Sparse(clamped), "windows_match_oracle"),
    "windows that overwrite": (
        Overwriting(),
        "windows_adjoint_matches_oracle windows_adjoint_transposes_windows",
    ),
    "batch reversed": (
        Dense(lambda x, plan, transform: transform(x[::-1], plan)),
        "batch_is_transformed_one_by_one transform_matches_oracle",
    ),
    "batch wraps": (
        Sparse(lambda index, plan, batch: index % np.array([max(batch, 1), 10**9, 10**9])),
        "batch_out_of_range_is_an_error",
    ),
    "input modified": (Dense(in_place), "input_is_unchanged"),
    "index modified": (Sparse(doubled_in_place), "index_is_unchanged"),
    "index of one dtype": (Sparse(only_int64), "index_of_32_bits_is_read_right"),
    "wrong dtype": (
        Dense(lambda x, plan, transform: transform(x, plan).astype(np.float64)),
        "dtype_and_device_are_kept",
    ),
    "clipped": (
        Dense(lambda x, plan, transform: transform(x.clip(-1, 1), plan)),
        "is_affine one_cell_window_is_unchanged same_units_change_nothing",
    ),
    "depends on the row": (
        Dense(rising),
        "is_translation_covariant is_symmetric_in_rows_and_columns",
    ),
    "noise": (Dense(noisy), "runs_are_identical"),
    "reads memory as contiguous": (Dense(as_if_contiguous), "strided_input_is_read_right"),
    "infinity times 0": (Dense(leaking), "infinite_padding_stays_outside"),
    "needs a value": (Dense(not_empty), "empty_axes_have_empty_results"),
    "needs a window": (
        Sparse(lambda index, plan, batch: index + 0 * index.max()),
        "no_windows_are_an_empty_result",
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name: str) -> None:
    backend, properties = MUTANTS[name]
    expected = properties.split()
    assert sorted(failing_checks(backend, checks=expected)) == sorted(expected)


def test_reference_is_not_caught() -> None:
    assert failing_checks(get_backend("numpy"), max_examples=10) == {}


# Mutants inside the reference: (where, what, replacement, dtype, the properties that must fail).


def _halfway(plan: Plan, axis: int, nodes: Array) -> taps.Taps:
    """Half-pixel convention: node y of a coarser grid at s * y + (s - 1) / 2."""
    p, q, d = plan.node_map
    extent = plan.window_out[axis]
    offsets = 2 * np.arange(extent) - (extent - 1)
    low, rest = np.divmod(2 * (p * nodes[:, None] + q * offsets) + p - d, 2 * d)
    return taps._taps(low, rest / (2 * d), plan.grid_in[axis])


def _ties_down(plan: Plan, axis: int) -> taps.Taps:
    """Nearest with halves going down."""
    if plan.mode == "bilinear":
        return taps.cell_taps.__wrapped__(plan, axis)
    p, q = plan.cell_map
    extent = plan.window_out[axis]
    twice = p * (2 * np.arange(extent) - (extent - 1)) + q * (plan.window_in[axis] - 1)
    low = -((q - twice) // (2 * q))
    last = max(plan.window_in[axis] - 1, 0)
    low = low.clip(0, last) if plan.vu_border == "edge" else low
    return taps._taps(low, np.zeros(low.shape), plan.window_in[axis])


def _paper_offsets(plan: Plan, axis: int) -> Array:
    """V - V // 2, half a cell off centre for even V."""
    extent = plan.window_out[axis]
    return 2 * (np.arange(extent) - extent // 2)


PATCHES = {
    "half-pixel offset": (
        [(taps, "node_taps"), (reference, "node_taps")], _halfway, "float32",
        "transform_matches_oracle windows_match_oracle matches_hand_computed",
    ),
    "rounding of nearest": (
        [(reference, "cell_taps")], _ties_down, "float32",
        "transform_matches_oracle matches_hand_computed",
    ),
    "even windows off centre": (
        [(taps, "_doubled_offsets")], _paper_offsets, "float32",
        "transform_matches_oracle matches_hand_computed",
    ),
    "accumulation in float16": (
        [(reference, "_compute_dtype")], lambda x: x.dtype, "float16",
        "half_blends_in_float32 half_sums_windows_in_float32 half_sums_outputs_in_float32",
    ),
    "accumulation in bfloat16": (
        [(reference, "_compute_dtype")], lambda x: x.dtype, "bfloat16",
        "half_blends_in_float32 half_sums_windows_in_float32 half_sums_outputs_in_float32",
    ),
}  # fmt: skip


@pytest.fixture
def _fresh_tables() -> Iterator[None]:
    for table in (taps.cell_taps, taps.grid_taps):
        table.cache_clear()
    yield
    for table in (taps.cell_taps, taps.grid_taps):
        table.cache_clear()


@pytest.mark.usefixtures("_fresh_tables")
@pytest.mark.parametrize("name", PATCHES)
def test_patched_reference_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    places, replacement, dtype, properties = PATCHES[name]
    for module, attribute in places:
        monkeypatch.setattr(module, attribute, replacement)
    expected = properties.split()
    found = failing_checks(NumpyBackend(), dtype=dtype, checks=expected)
    assert sorted(found) == sorted(expected)


def test_every_property_catches_a_mutant() -> None:
    caught = " ".join([row[-1] for row in (*MUTANTS.values(), *PATCHES.values())])
    assert set(caught.split()) == set(CHECKS)


def test_known_gap_is_a_strict_expected_failure() -> None:
    suite = conformance_suite(get_backend("numpy"), known_gaps={"is_affine": "issue 12"})
    (mark,) = suite.test_is_affine_float32.pytestmark
    assert mark.kwargs == {"strict": True, "reason": "issue 12"}


def test_known_gap_of_one_dtype_leaves_the_others() -> None:
    gaps = {"is_affine_float16": "issue 12"}
    suite = conformance_suite(get_backend("numpy"), dtypes=("float16", "float32"), known_gaps=gaps)
    assert not hasattr(suite.test_is_affine_float32, "pytestmark")


def test_unknown_gap_is_an_error() -> None:
    with pytest.raises(ValueError, match="got is_magic; known are transform_matches_oracle"):
        conformance_suite(get_backend("numpy"), known_gaps={"is_magic": "no"})


def test_missing_library_skips_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TENSORMASK_REQUIRE_BACKENDS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no_such_library is not here: No module"):
        require("no_such_library")


def test_missing_library_fails_where_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENSORMASK_REQUIRE_BACKENDS", "numpy,no_such_library")
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        require("no_such_library")
