"""Which backend serves which array."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tensormask_core import (
    BackendAmbiguous,
    BackendUnavailable,
    available_backends,
    backend_of,
    get_backend,
    ops,
    register_backend,
    registry,
    use_backend,
)
from tensormask_numpy import make_backend


class Special(np.ndarray):
    """An array type of its own that is nobody's claim but numpy's."""


class Foreign:
    """An array of an unknown library that follows the standard."""

    def __array_namespace__(self) -> Any:
        return np


class Own:
    """An array type that a registered backend claims."""


@pytest.fixture(autouse=True)
def _unregister(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(registry, "_registered_types", {})
    monkeypatch.setattr(registry, "_loaded", {})
    registry._name_for_type.cache_clear()
    yield
    registry._name_for_type.cache_clear()


def test_names_are_listed() -> None:
    assert {"numpy", "array_api", "torch"} <= set(available_backends())


def test_listing_imports_nothing() -> None:
    code = (
        "import sys, tensormask_core as t; t.available_backends();"
        "print([m for m in ('torch', 'jax', 'tensormask_numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_one_backend_object_per_name() -> None:
    assert get_backend("numpy") is get_backend("numpy")


def test_subclass_of_a_claimed_type_is_claimed() -> None:
    assert backend_of(np.zeros(3).view(Special)).name == "numpy"


def test_unclaimed_array_goes_to_the_fallback() -> None:
    assert backend_of(Foreign()).name == "array_api"


def test_array_api_strict_goes_to_the_fallback() -> None:
    strict = pytest.importorskip("array_api_strict")
    assert backend_of(strict.zeros(3)).name == "array_api"


def test_choice_holds_within_the_block_only() -> None:
    with use_backend("array_api"):
        assert backend_of(np.zeros(3)).name == "array_api"
    assert backend_of(np.zeros(3)).name == "numpy"


def test_choice_reaches_the_operators() -> None:
    x = np.random.default_rng(0).normal(size=(3, 3, 8, 8))
    with use_backend("array_api"):
        chosen = ops.swap_align2nat(x, 2)
    np.testing.assert_allclose(chosen, ops.swap_align2nat(x, 2), atol=1e-12)


def test_registered_backend_serves_its_type() -> None:
    register_backend("mine", make_backend, array_types=(f"{__name__}.Own",))
    assert backend_of(Own()) is get_backend("mine")


def test_registration_after_first_use_counts() -> None:
    assert backend_of(Foreign()).name == "array_api"
    register_backend("mine", make_backend, array_types=(f"{__name__}.Foreign",))
    assert backend_of(Foreign()) is get_backend("mine")


def test_taken_name_is_ambiguous() -> None:
    with pytest.raises(BackendAmbiguous, match="'numpy' exists already"):
        register_backend("numpy", make_backend)


def test_two_claims_of_one_type_are_ambiguous() -> None:
    for name in ("mine", "yours"):
        register_backend(name, make_backend, array_types=(f"{__name__}.Own",))
    with pytest.raises(BackendAmbiguous, match=r"claimed by the backends mine, yours; choose one"):
        backend_of(Own())


def test_choice_settles_two_claims() -> None:
    for name in ("mine", "yours"):
        register_backend(name, make_backend, array_types=(f"{__name__}.Own",))
    with use_backend("yours"):
        assert backend_of(Own()) is get_backend("yours")


def test_claim_against_an_installed_backend_is_ambiguous() -> None:
    register_backend("mine", make_backend, array_types=("numpy.ndarray",))
    with pytest.raises(BackendAmbiguous, match="mine, numpy"):
        backend_of(np.zeros(3))


def test_missing_library_names_the_extra() -> None:
    def factory() -> Any:
        raise ModuleNotFoundError("No module named 'fancy'")

    register_backend("fancy", factory)
    with pytest.raises(BackendUnavailable, match=r"fancy.*pip install 'tensormask-core\[fancy\]'"):
        get_backend("fancy")
