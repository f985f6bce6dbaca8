"""The site builds, and its picture is what its script draws."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.skipif(find_spec("mkdocs") is None, reason="mkdocs is not here")
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=DOCS.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Natural and aligned" in (tmp_path / "site" / "index.html").read_text()


def test_the_picture_is_drawn_by_its_script() -> None:
    drawn = runpy.run_path(str(DOCS / "figures" / "natural_aligned.py"))["picture"]()
    assert drawn == (DOCS / "figures" / "natural_aligned.svg").read_text()


def test_every_operator_is_described() -> None:
    operators = (DOCS.parent / "tensormask_core" / "ops.py").read_text()
    (listed,) = re.findall(r"__all__ = \[(.*?)\]", operators, re.DOTALL)
    table = (DOCS.parent / "README.md").read_text() + (DOCS / "concepts.md").read_text()
    names = {re.sub(r"_(bilinear|nearest|at)$", "", name) for name in re.findall(r"\w+", listed)}
    missing = {name for name in names if name not in table} - {"from_channels", "to_channels"}
    assert not missing
