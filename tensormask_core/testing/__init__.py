"""For authors of backends: the conformance suite, its oracle, strategies and tolerances.

The whole test file of a backend (it needs pytest and hypothesis)::

    from tensormask_core.testing import conformance_suite
    from tensormask_mine import make_backend

    TestMine = conformance_suite(make_backend(), dtypes=("float32", "float16"))
"""

from __future__ import annotations

from tensormask_core.testing.arrays import ARRAYS, to_numpy
from tensormask_core.testing.case import Case
from tensormask_core.testing.checks import CHECKS, Check
from tensormask_core.testing.conformance import conformance_suite, failing_checks
from tensormask_core.testing.require import require
from tensormask_core.testing.strategies import cases
from tensormask_core.testing.subject import Subject
from tensormask_core.testing.tolerances import TOLERANCES, Tolerance, assert_close

__all__ = [
    "ARRAYS",
    "CHECKS",
    "TOLERANCES",
    "Case",
    "Check",
    "Subject",
    "Tolerance",
    "assert_close",
    "cases",
    "conformance_suite",
    "failing_checks",
    "require",
    "to_numpy",
]
