"""Imports go one way, and the core imports no framework."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
CORE = REPOSITORY / "tensormask_core"
BACKENDS = sorted((REPOSITORY / "backends").glob("tensormask_*"))
ZOO = REPOSITORY / "reference" / "tensormask_zoo"
PACKAGES = [CORE, *BACKENDS, ZOO]

FRAMEWORKS = ("torch", "jax", "cupy", "numba", "pycocotools", "matplotlib", "PIL", "lightning")
CORE_MODULES = [f"tensormask_core{part}" for part in ("", ".ops", ".masks", ".assign")]
# What the core may import when it is itself imported; `testing` is for authors of backends.
CORE_NEEDS = {"tensormask_core", "numpy", "array_api_compat"}
TESTING_NEEDS = {"hypothesis", "pytest"}
NO_PACKAGES = {"backends", "reference", "tests", "benchmarks"}


def loaded_after(statements: str) -> set[str]:
    """Frameworks and packages of ours in sys.modules after running statements; warnings fail."""
    code = f"import json, sys\n{statements}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return set(json.loads(done.stdout))


def imports(path: Path, *, lazy: bool = True) -> Iterator[str]:
    """Yield the dotted names that a file imports; with `lazy`, also those within functions."""
    todo: list[ast.AST] = [ast.parse(path.read_text())]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
        elif lazy or not _is_deferred(node):
            todo += ast.iter_child_nodes(node)


def roots(folder: Path, *, lazy: bool = True) -> set[str]:
    """First parts of everything that a package imports."""
    files = folder.rglob("*.py")
    return {name.partition(".")[0] for path in files for name in imports(path, lazy=lazy)}


def _is_deferred(node: ast.AST) -> bool:
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name):
        return node.test.id == "TYPE_CHECKING"
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


@pytest.mark.parametrize("module", CORE_MODULES)
def test_core_loads_no_framework_and_is_silent(module: str) -> None:
    assert not loaded_after(f"import {module}") & {*FRAMEWORKS, "hypothesis", "pytest"}


@pytest.mark.skipif(find_spec("hypothesis") is None, reason="hypothesis is not here")
def test_the_suite_loads_no_framework() -> None:
    assert not loaded_after("import tensormask_core.testing") & set(FRAMEWORKS)


@pytest.mark.parametrize("folder", BACKENDS, ids=lambda folder: folder.name)
def test_a_backend_package_loads_nothing_before_it_is_made(folder: Path) -> None:
    assert not loaded_after(f"import {folder.name}") & {*FRAMEWORKS, f"{folder.name}._backend"}


def test_listing_backends_loads_none() -> None:
    loaded = loaded_after("import tensormask_core as core; assert core.available_backends()")
    assert not loaded & {*FRAMEWORKS, *(folder.name for folder in BACKENDS)}


def test_the_core_needs_numpy_and_array_api_compat_only() -> None:
    found = {
        name.partition(".")[0]
        for path in CORE.rglob("*.py")
        if "testing" not in path.parts
        for name in imports(path, lazy=False)
    }
    assert found - sys.stdlib_module_names <= CORE_NEEDS


def test_the_suite_needs_hypothesis_besides() -> None:
    needs = roots(CORE / "testing", lazy=False) - sys.stdlib_module_names
    assert needs <= CORE_NEEDS | TESTING_NEEDS


def test_the_core_imports_no_package_of_ours() -> None:
    others = {folder.name for folder in PACKAGES} - {"tensormask_core"}
    assert not roots(CORE) & others


@pytest.mark.parametrize("folder", BACKENDS, ids=lambda folder: folder.name)
def test_backends_import_neither_each_other_nor_the_zoo(folder: Path) -> None:
    others = {other.name for other in PACKAGES} - {"tensormask_core", folder.name}
    # The CPU path of torch may call the numba kernels, once a tensor asks for it.
    lazily = {"tensormask_numba"} if folder.name == "tensormask_torch" else set()
    assert roots(folder) & others <= lazily
    assert not roots(folder, lazy=False) & others


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_folders_that_are_no_packages_are_not_imported(folder: Path) -> None:
    assert not roots(folder) & NO_PACKAGES


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_imports_are_absolute(folder: Path) -> None:
    assert "" not in roots(folder)


@pytest.mark.parametrize("folder", sorted(NO_PACKAGES))
def test_a_folder_of_packages_is_none_itself(folder: str) -> None:
    assert not (REPOSITORY / folder / "__init__.py").exists()
