"""The wheel holds our packages alone, and serves where there is no framework."""

from __future__ import annotations

import configparser
import shutil
import zipfile
from collections.abc import Callable
from email.parser import HeaderParser
from pathlib import Path
from subprocess import CompletedProcess

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TESTS = REPOSITORY / "tests"
BACKENDS = {path.name for path in (REPOSITORY / "backends").glob("tensormask_*")}
PACKAGES = {"tensormask_core", "tensormask_zoo", *BACKENDS}
Run = Callable[..., CompletedProcess[str]]

# Few examples: the properties are searched by the suites of the repository.
QUICK_PROFILE = """
from hypothesis import settings
settings.register_profile("quick", max_examples=5, deadline=None, derandomize=True)
"""


def names(wheel: Path) -> list[str]:
    return zipfile.ZipFile(wheel).namelist()


def metadata(wheel: Path, file: str) -> str:
    (name,) = (name for name in names(wheel) if name.endswith(f".dist-info/{file}"))
    return zipfile.ZipFile(wheel).read(name).decode()


@pytest.fixture(scope="module")
def copied_tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests alone, away from the packages' sources."""
    folder = tmp_path_factory.mktemp("tests")
    shutil.copy(REPOSITORY / "pyproject.toml", folder)
    (folder / "conftest.py").write_text(QUICK_PROFILE)
    shutil.copytree(TESTS, folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def pytest_in(run: Run, folder: Path, *arguments: str, **environment: str) -> CompletedProcess[str]:
    options = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder))
    options += ("-c", str(folder / "pyproject.toml"))
    paths = [str(folder / "tests" / argument) for argument in arguments]
    environment.setdefault("TENSORMASK_REQUIRE_BACKENDS", "")  # whatever this run requires
    return run(*options, *paths, HYPOTHESIS_PROFILE="quick", **environment)


def test_only_our_packages_are_at_its_top(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in names(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_a_package_is_typed(wheel: Path, package: str) -> None:
    assert f"{package}/py.typed" in names(wheel)


@pytest.mark.parametrize("file", ["separable.cu", "windows.cu", "numbers.cuh"])
def test_cuda_sources_are_in_it(wheel: Path, file: str) -> None:
    assert f"tensormask_cupy/{file}" in names(wheel)


def test_every_backend_is_an_entry_point(wheel: Path) -> None:
    points = configparser.ConfigParser()
    points.read_string(metadata(wheel, "entry_points.txt"))
    assert dict(points["tensormask_core.backends"]) == {
        name.removeprefix("tensormask_"): f"{name}:make_backend" for name in BACKENDS
    }


def test_array_types_are_claimed_by_the_backend_of_their_library(wheel: Path) -> None:
    points = configparser.ConfigParser(delimiters="=")  # strict: nothing is claimed twice
    points.read_string(metadata(wheel, "entry_points.txt"))
    assert dict(points["tensormask_core.array_types"]) == {
        "numpy.ndarray": "numpy",
        "torch.tensor": "torch",  # keys are read in lower case
        "cupy.ndarray": "cupy",
    }


def test_the_licence_is_in_it(wheel: Path) -> None:
    assert metadata(wheel, "licenses/LICENSE") == (REPOSITORY / "LICENSE").read_text()
    assert (
        HeaderParser().parsestr(metadata(wheel, "METADATA"))["License-Expression"] == "Apache-2.0"
    )


def test_without_an_extra_it_needs_numpy_and_array_api_compat(wheel: Path) -> None:
    needs = HeaderParser().parsestr(metadata(wheel, "METADATA")).get_all("Requires-Dist")
    always = {need.split(">")[0] for need in needs if "extra ==" not in need}
    assert always == {"numpy", "array-api-compat"}


def test_the_environment_has_the_wheel_and_no_torch(clean: Run) -> None:
    code = "import tensormask_core, importlib.util as u; print(tensormask_core.__file__)"
    found = clean("-c", f"{code}; assert u.find_spec('torch') is None")
    assert found.returncode == 0, found.stderr
    assert "site-packages" in found.stdout


def test_without_torch_it_is_named_as_what_is_missing(clean: Run) -> None:
    found = clean("-c", "import tensormask_core as core; core.get_backend('torch')")
    assert "BackendUnavailable" in found.stderr
    assert "pip install 'tensormask-core[torch]'" in found.stderr


def test_without_torch_the_suite_passes(clean: Run, copied_tests: Path) -> None:
    files = ("backends/test_conformance_numpy.py", "backends/test_conformance_array_api.py")
    found = pytest_in(clean, copied_tests, *files)
    assert found.returncode == 0, found.stdout[-3000:]
    assert "skipped" not in found.stdout


def test_without_torch_the_tests_of_the_core_pass(clean: Run, copied_tests: Path) -> None:
    found = pytest_in(clean, copied_tests, "core")
    assert found.returncode == 0, found.stdout[-3000:]
    assert " passed" in found.stdout


def torch_tests(folder: Path) -> list[str]:
    """Return the test files that need torch."""
    tests = folder / "tests"
    files = [*tests.glob("backends/test_*torch*.py"), *tests.glob("zoo/test_*.py")]
    return [str(path.relative_to(tests)) for path in files]


def test_without_torch_its_tests_are_skipped_with_a_reason(clean: Run, copied_tests: Path) -> None:
    files = torch_tests(copied_tests)
    found = pytest_in(clean, copied_tests, *files, PYTEST_ADDOPTS="-rs")
    assert f"{len(files)} skipped" in found.stdout, found.stdout[-3000:]
    assert "torch" in found.stdout
    assert "passed" not in found.stdout


def test_where_torch_is_required_its_absence_fails(clean: Run, copied_tests: Path) -> None:
    files = torch_tests(copied_tests)
    found = pytest_in(clean, copied_tests, *files, TENSORMASK_REQUIRE_BACKENDS="numpy,torch")
    assert f"{len(files)} errors" in found.stdout, found.stdout[-3000:]
