"""The page of proposals has the numbers that are committed beside it."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "proposals.md"
RESULTS = DOCS / "results" / "proposals_shapes.json"
SCRIPT = runpy.run_path(str(DOCS / "results" / "proposals.py"))


@pytest.fixture
def document() -> dict[str, Any]:
    """Results of one seed: of sliding windows alone."""
    names = [f"{kind} AR@{n}" for kind in ("mask", "box", "boundary") for n in (10, 100, 1000)]
    names += ["mask AUC", "mask ARS@100", "mask ARM@100", "mask ARL@100"]
    scores = dict.fromkeys(names, 12.5)
    one = {"protocol": "small", "seed": 0, "command": "compare", "images": 5, "scores": scores}
    cost = {"seconds": 1, "parameters": 2, "peak_bytes": 3, "device": "cpu", "threads": 1}
    trained = {"row": "fastmask", "iterations": 7, "untrained": scores, "cost": cost, **one}
    windows = {"row": "sliding_windows", **one}
    return {"machine": "an abacus", "date": "2026-01-02", "results": [windows, trained]}


def test_the_script_takes_numbers_and_pictures(
    document: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "docs" / "results" / "proposals.py"
    script.parent.mkdir(parents=True)
    shutil.copy(DOCS / "results" / "proposals.py", script)
    shutil.copy(PAGE, tmp_path / "docs")
    (tmp_path / "docs" / "figures").mkdir()
    (tmp_path / "table.json").write_text(json.dumps(document["results"]))
    for kind in SCRIPT["PICTURES"]:
        (tmp_path / f"small-{kind}.png").write_bytes(b"")
    arguments = [script.name, str(tmp_path), "--machine", "an abacus", "--date", "2026-01-02"]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(script), run_name="__main__")
    assert json.loads((script.parent / "proposals_shapes.json").read_text()) == document
    page = (tmp_path / "docs" / "proposals.md").read_text()
    assert SCRIPT["section"](document) in page
    assert all((tmp_path / "docs" / SCRIPT["picture"]("small", k).relative_to(DOCS)).exists()
               for k in SCRIPT["PICTURES"])  # fmt: skip


def test_the_page_has_the_committed_numbers() -> None:
    page = PAGE.read_text()
    if RESULTS.exists():
        assert SCRIPT["with_section"](page, json.loads(RESULTS.read_text())) == page
    else:
        assert SCRIPT["BEGIN"] not in page


def test_the_pictures_of_the_page_are_there() -> None:
    if RESULTS.exists():
        size = json.loads(RESULTS.read_text())["results"][0]["protocol"]
        assert all(SCRIPT["picture"](size, kind).is_file() for kind in SCRIPT["PICTURES"])


def test_a_section_has_table_pictures_and_their_origin(document: dict[str, Any]) -> None:
    text = SCRIPT["section"](document)
    assert "(an abacus, 2026-01-02)" in text
    assert "| sliding windows, no network | 12.5 | 12.5 |" in text
    assert "](figures/proposals_small_mask.png)" in text
    assert "`compare --systems fastmask --seeds 0`" in text


@pytest.mark.parametrize("after", ["", "## More\n\nText.\n"])
def test_a_section_is_replaced_and_leaves_the_page_around_it(
    document: dict[str, Any], after: str
) -> None:
    old = SCRIPT["with_section"]("# Page\n\nText.\n", document | {"machine": "fingers"}) + after
    new = SCRIPT["with_section"](old, document)
    assert "fingers" not in new
    assert new.startswith("# Page\n\nText.\n\n<!--")
    assert new.endswith(after or "-->\n")
    assert SCRIPT["with_section"](new, document) == new
