"""A hook of mkdocs: pages that the repository has anyway are part of the site, written once.

The first page is README.md. The benchmarks' page and plots keep their places, so that links from
the README lead to them in either.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

REPOSITORY = Path(__file__).parents[2]
BENCHMARKS = REPOSITORY / "benchmarks"


def on_files(files: Any, *, config: Any) -> Any:
    """Add the benchmarks' page, what it links to, and the plots."""
    for path in (BENCHMARKS / "README.md", BENCHMARKS / "schema.json", *BENCHMARKS.rglob("*.svg")):
        uri = path.relative_to(REPOSITORY).as_posix()
        files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Return the README in place of the first page, its links seen from within docs/."""
    if page.file.src_uri != "index.md":
        return markdown
    return (REPOSITORY / "README.md").read_text().replace("](docs/", "](")
