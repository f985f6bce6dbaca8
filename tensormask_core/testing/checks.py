"""Check: one property of a backend, and the registry that the suite is built from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis.strategies import SearchStrategy

from tensormask_core.testing.case import Case
from tensormask_core.testing.subject import Subject

Property = Callable[[Subject, Case], None]
HALF = ("float16", "bfloat16")


@dataclass(frozen=True)
class Check:
    """A property that raises AssertionError where a backend lacks it.

    Attributes:
        name: what it is called in the suite, and in ``known_gaps``.
        cases: the cases that it shall hold for.
        holds: raises unless it holds.
        dtypes: the only dtypes it makes sense for; all when empty.
    """

    name: str
    cases: SearchStrategy[Case]
    holds: Property
    dtypes: tuple[str, ...] = ()


CHECKS: dict[str, Check] = {}
"""Every check, by name; filled by the modules of properties."""


def check(cases: SearchStrategy[Case], *, dtypes: tuple[str, ...] = ()) -> Callable[..., Property]:
    """Enter a property into the suite under its own name."""

    def enter(holds: Property) -> Property:
        CHECKS[holds.__name__] = Check(holds.__name__, cases, holds, dtypes)
        return holds

    return enter
