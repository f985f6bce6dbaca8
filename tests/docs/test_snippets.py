"""Every snippet of README.md and docs/ runs, and prints what it says it prints."""

from __future__ import annotations

import io
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PRINTED = re.compile(r"^\s*print\(.*\)  # (.*)$", re.MULTILINE)
LANGUAGES = {"python", "bash", "toml", "text"}


class Fence(NamedTuple):
    """A block of code of a page."""

    language: str
    code: str
    line: int  # of its first line of code, from 0


def fences(page: Path) -> list[Fence]:
    text = page.read_text()
    return [
        Fence(found[1], found[2], text.count("\n", 0, found.start(2)))
        for found in FENCE.finditer(text)
    ]


def script(page: Path) -> str:
    """Return the Python of a page, every line where it stands in the page."""
    lines: list[str] = []
    for fence in fences(page):
        if fence.language == "python":
            lines += [""] * (fence.line - len(lines)) + fence.code.splitlines()
    return "\n".join(lines)


def commands() -> list[str]:
    """Return the shell commands of all pages, without comments."""
    found = [fence.code for page in PAGES for fence in fences(page) if fence.language == "bash"]
    lines = [line.partition(" #")[0].strip() for code in found for line in code.splitlines()]
    return list(dict.fromkeys(filter(None, lines)))


def output_of(program: list[str], arguments: list[str]) -> str:
    """Run a script or a module (-m NAME) in this process up to its first exit."""
    execute = runpy.run_module if program[0] == "-m" else runpy.run_path
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.setattr(sys, "argv", [program[-1], *arguments])
        patch.chdir(REPOSITORY)
        with pytest.raises(SystemExit) as left:
            execute(program[-1], run_name="__main__")
    assert left.value.code == 0
    return printed.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_runs_and_prints_what_it_says(page: Path, tmp_path: Path) -> None:
    code = script(page)
    if "torch" in code and find_spec("torch") is None:
        pytest.skip("torch is not here")
    path = tmp_path / page.with_suffix(".py").name
    path.write_text(code)
    command = [sys.executable, "-P", path.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == PRINTED.findall(code)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_fence_names_its_language(page: Path) -> None:
    text = page.read_text()
    assert {fence.language for fence in fences(page)} <= LANGUAGES
    assert len(re.findall(r"^```", text, re.MULTILINE)) == 2 * len(fences(page))


@pytest.mark.parametrize("command", commands())
def test_a_command_exists(command: str) -> None:
    program, *arguments = shlex.split(command)
    CHECKS[program](arguments)


def check_make(targets: list[str]) -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def check_pip(arguments: list[str]) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    verb, *wanted = arguments
    assert verb == "install"
    for requirement in wanted:
        name, *extras = re.findall(r"[\w-]+", requirement)
        assert name == project["name"]
        assert set(extras) <= project["optional-dependencies"].keys()


def check_python(arguments: list[str]) -> None:
    program = arguments[:2] if arguments[0] == "-m" else arguments[:1]
    if "reference" in program[-1] or "zoo" in program[-1]:
        pytest.importorskip("torch")
    if program == ["reference/train.py"]:
        # It reads the whole command line and stops before it trains.
        assert "class_path" in output_of(program, [*arguments[1:], "--print_config"])
    else:
        described = output_of(program, ["--help"])
        assert all(word in described for word in arguments if word.startswith("--"))


CHECKS = {"make": check_make, "pip": check_pip, "python": check_python}
