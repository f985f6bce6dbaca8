"""The exceptions that callers of the library meet."""

from __future__ import annotations


class LayoutError(ValueError):
    """An array or tensor has another rank, extent or representation than the operator needs."""


class UnitError(ValueError):
    """Units that are impossible, or that do not lead to whole extents."""


class BackendUnavailable(ImportError):
    """No backend of that name, or the library it needs is not installed."""


class BackendAmbiguous(RuntimeError):
    """Two backends claim the same name or the same array type and none was chosen."""
