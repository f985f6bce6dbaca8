"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import settings

# Tests work on tiny arrays, for which more threads cost more than they save.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("default", max_examples=40, deadline=None)
settings.register_profile("ci", max_examples=200, deadline=None, derandomize=True)
settings.register_profile("nightly", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

REPOSITORY = Path(__file__).resolve().parents[1]


def _kernels_cache() -> Path:
    """Return a folder for compiled kernels that is another one when any of them has changed.

    Numba looks only at the file of a kernel itself, not at what it inlines from others.
    """
    sources = sorted((REPOSITORY / "backends" / "tensormask_numba").rglob("*.py"))
    digest = sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    return REPOSITORY / ".pytest_cache" / f"kernels-{digest}"


os.environ.setdefault("NUMBA_CACHE_DIR", str(_kernels_cache()))  # before numba is imported


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Return the folder of golden data and real images beside the repository, or skip."""
    path = Path(os.environ.get("TENSORMASK_SHARED", REPOSITORY.parent / "shared"))
    if not path.is_dir():
        pytest.skip(f"no golden data or real images here: {path} does not exist")
    return path
