"""An extension of griffe: docstrings as they are written here, in words that it knows."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":\w+:`~?([^`]+)`")


class PlainDocstrings(griffe.Extension):
    """Reads a section `Example` as code that runs, and a role such as :func:`f` as a name."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring:
            text = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
            obj.docstring.value = ROLE.sub(r"`\1`", text)
