"""What a type checker tells a project that installs the wheel."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

pytest.importorskip("mypy")

CONSUMER = """
import numpy as np
from tensormask_core import Aligned, Natural, get_backend, ops
from tensormask_core.testing import conformance_suite

x = np.zeros((3, 3, 8, 8))
reveal_type(Aligned(x, 4, 4).align2nat())
reveal_type(Aligned(x, 4, 4).align2nat().data)
reveal_type(ops.align2nat(x))
reveal_type(get_backend("numpy"))
reveal_type(conformance_suite)
Natural(x, 4, 4).align2nat()
Aligned(x, 4, 4).nat2align()
Natural(x, sigma="4", sigma_hw=4)
"""


@pytest.fixture(scope="module")
def lines(
    clean: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[int, str]:
    """mypy's messages about the snippet, by line."""
    path = tmp_path_factory.mktemp("consumer") / "consumer.py"
    path.write_text(CONSUMER)
    python = clean("-c", "import sys; print(sys.executable)").stdout.strip()
    options = [
        "--strict",
        "--no-incremental",
        "--cache-dir",
        str(path.parent),
        "--python-executable",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, python, path.name],
        cwd=path.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    found: dict[int, str] = {}
    for line in done.stdout.splitlines():
        if line.startswith(path.name):
            _, number, message = line.split(":", 2)
            found[int(number)] = found.get(int(number), "") + message
    return found


def message(lines: dict[int, str], statement: str) -> str:
    return lines[CONSUMER.splitlines().index(statement) + 1]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("Aligned(x, 4, 4).align2nat()", "Natural[numpy.ndarray["),
        ("Aligned(x, 4, 4).align2nat().data", '"numpy.ndarray['),
        ("ops.align2nat(x)", '"numpy.ndarray['),
        ('get_backend("numpy")', "Backend["),
        ("conformance_suite", "def (backend: tensormask_core.backend.Backend["),
    ],
)
def test_a_type_is_known(lines: dict[int, str], expression: str, expected: str) -> None:
    revealed = message(lines, f"reveal_type({expression})")
    assert expected in revealed
    assert '"Any"' not in revealed


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("Natural(x, 4, 4).align2nat()", "[attr-defined]"),
        ("Aligned(x, 4, 4).nat2align()", "[attr-defined]"),
        ('Natural(x, sigma="4", sigma_hw=4)', "[call-arg]"),
    ],
)
def test_a_mistake_is_an_error(lines: dict[int, str], statement: str, error: str) -> None:
    assert error in message(lines, statement)
