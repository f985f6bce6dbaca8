"""Every example in the docstrings of the core runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import tensormask_core

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(tensormask_core.__path__, prefix="tensormask_core.")
)


@pytest.mark.parametrize("name", ["tensormask_core", *MODULES])
def test_examples_run(name: str) -> None:
    try:
        module = importlib.import_module(name)
        failed, _ = doctest.testmod(module, raise_on_error=False)
    except ModuleNotFoundError as error:
        pytest.skip(f"{name} needs {error.name}")
    assert failed == 0
