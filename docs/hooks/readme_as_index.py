"""A hook of mkdocs: the first page of the site is README.md, so that it is written once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

README = Path(__file__).parents[2] / "README.md"


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Return the README in place of the first page, its links seen from within docs/."""
    if page.file.src_uri != "index.md":
        return markdown
    return README.read_text().replace("](docs/", "](")
