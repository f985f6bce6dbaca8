"""What the repository promises about itself."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TARGETS = ("train", "test", "lint", "docs", "bench")
# A folder of somebody's machine: absolute, and not part of an address or a relative path.
MACHINE_PATH = re.compile(r"(?<![\w./<-])/(root|home|work|Users|mnt|workspace)/\w")


def tracked_texts() -> list[tuple[str, str]]:
    """Path and content of every text file under version control."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("no git checkout here")
    texts = []
    for name in filter(None, listed.stdout.split("\0")):
        path = REPOSITORY / name
        content = path.read_bytes() if path.is_file() else b"\0"
        if b"\0" not in content:
            texts.append((name, content.decode()))
    return texts


def test_no_tracked_file_names_a_machine_path() -> None:
    texts = tracked_texts()
    assert len(texts) > 50
    found = {name: match.group() for name, text in texts if (match := MACHINE_PATH.search(text))}
    assert not found


@pytest.mark.parametrize("target", TARGETS)
def test_the_makefile_has_the_target(target: str) -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    assert re.search(rf"^{target}: \$\(READY\)\n\t", makefile, re.MULTILINE)


def test_the_environment_is_made_when_there_is_none(tmp_path: Path) -> None:
    command = ["make", "--dry-run", "test", f"VENV={tmp_path / 'venv'}"]
    planned = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "-m venv" in planned.stdout
    assert planned.stdout.index("-m venv") < planned.stdout.index("-m pytest")


def test_nothing_generated_is_tracked() -> None:
    names = [name for name, _ in tracked_texts()]
    assert not [name for name in names if name.startswith((".venv", "runs/", "site/", "dist/"))]
