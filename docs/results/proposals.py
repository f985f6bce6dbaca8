"""Bring what ``reference/compare.py`` found into docs/proposals.md.

``python docs/results/proposals.py runs/comparison --machine "2 vCPUs, no GPU"`` takes the folder's
numbers and pictures; without a folder, the table is written again from the numbers that are here.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensormask_zoo.comparison.table import sections
from tensormask_zoo.files import write_json

RESULTS = Path(__file__).with_name("proposals_shapes.json")
DOCS = Path(__file__).parents[1]
PAGE = DOCS / "proposals.md"
BEGIN, END = "<!-- written by docs/results/proposals.py -->", "<!-- end of what is written -->"
PICTURES = {"mask": "masks", "boundary": "contours"}
SECTION = """## Results

`reference/compare.py` trained every system from scratch, with one budget, and measured it on images
that no training saw ({machine}, {date}). The numbers of each seed are in
`docs/results/proposals_shapes.json`.

{pictures}

{tables}"""


def section(document: Mapping[str, Any]) -> str:
    """Return the section of the page for ``machine``, ``date`` and ``results``."""
    size = document["results"][0]["protocol"]
    pictures = "\n".join(
        f"![Recall of {what} over counts and IoU]({picture(size, kind).relative_to(DOCS)})"
        for kind, what in PICTURES.items()
    )
    tables = sections(document["results"]).replace("## ", "### ")
    facts = {name: document[name] for name in ("machine", "date")}
    return SECTION.format(pictures=pictures, tables=tables, **facts)


def picture(size: str, kind: str) -> Path:
    """Return where a picture of the documentation is."""
    return DOCS / "figures" / f"proposals_{size}_{kind}.png"


def with_section(page: str, document: Mapping[str, Any]) -> str:
    """Return a page with the section in place of an earlier one, or at its end."""
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2].lstrip() if rest else ""
    written = f"{before.rstrip()}\n\n{BEGIN}\n\n{section(document)}\n\n{END}\n"
    return f"{written}\n{after}" if after else written


def take(folder: Path, machine: str, date: str) -> None:
    """Copy the numbers and the pictures of a comparison."""
    results = json.loads((folder / "table.json").read_text())
    write_json({"machine": machine, "date": date, "results": results}, RESULTS)
    size = results[0]["protocol"]
    for kind in PICTURES:
        shutil.copy(folder / f"{size}-{kind}.png", picture(size, kind))


def main() -> None:
    """Take a comparison, if one is given, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="--output of reference/compare.py")
    parser.add_argument("--machine", default="2 vCPUs, no GPU", help="that it ran on")
    parser.add_argument("--date", default=datetime.date.today().isoformat())
    known = parser.parse_args()
    if known.folder:
        take(known.folder, known.machine, known.date)
    PAGE.write_text(with_section(PAGE.read_text(), json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
