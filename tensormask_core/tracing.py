"""What a framework that traces Python has to know about the core, said without importing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def constant_when_traced(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function of units or types alone: a traced graph may keep its result.

    ``torch.compiler.assume_constant_result`` sets the same attribute, but would import torch.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]  # functions have a dict
    return function


def settled(value: R) -> R:
    """Return ``value``; a number that a trace holds open becomes a constant, for it is hashed."""
    (constant,) = {value}
    return constant
