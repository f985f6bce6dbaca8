"""The account of what a data set leaves out, and why."""

from __future__ import annotations

import warnings

SHOWN = 3  # names listed per reason in a warning; `Skipped.names` has all


class Skipped:
    """Files and annotations that were left out, by reason.

    Args:
        source: What is being read; begins every message.
        strict: Raise at the first instead of counting.

    Attributes:
        names: Reason to the names of files, or numbers of annotations, in order of discovery.

    Example:
        >>> skipped = Skipped("instances.json")
        >>> skipped.add("missing image", "a.png")
        >>> skipped.names
        {'missing image': ['a.png']}
    """

    def __init__(self, source: str, *, strict: bool = False) -> None:
        self.source, self.strict = source, strict
        self.names: dict[str, list[str]] = {}

    def add(self, reason: str, name: str) -> None:
        """Count one thing left out.

        Args:
            reason: A few words, the same for all things of the kind.
            name: The file or the annotation.

        Raises:
            ValueError: The data set is strict.
        """
        if self.strict:
            raise ValueError(
                f"{self.source}: {reason}: {name}; repair or remove it, or let strict=False skip it"
            )
        self.names.setdefault(reason, []).append(name)

    def warn(self) -> None:
        """Say once, with counts, what was left out; say nothing when that is nothing."""
        if self.names:
            counts = "; ".join(_line(reason, names) for reason, names in self.names.items())
            warnings.warn(f"{self.source}: skipped {counts}", UserWarning, stacklevel=3)


def _line(reason: str, names: list[str]) -> str:
    """Write a reason with its count and its first names."""
    more = ", ..." if len(names) > SHOWN else ""
    return f"{len(names)} x {reason} ({', '.join(names[:SHOWN])}{more})"
