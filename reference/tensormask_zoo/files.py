"""Files that are whole or absent: written beside their place and renamed into it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; it replaces ``path`` unless the block raises.

    Each process has a path of its own, so that of two that write at once the last one wins.

    Example:
        >>> import tempfile
        >>> place = Path(tempfile.mkdtemp()) / "new" / "note.txt"
        >>> with replacing(place) as beside:
        ...     _ = beside.write_text("whole")
        >>> place.read_text()
        'whole'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(document: Any, path: Path) -> Path:
    """Write a JSON document and return its path."""
    with replacing(path) as beside:
        beside.write_text(json.dumps(document))
    return path
