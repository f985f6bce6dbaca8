"""The public names and signatures, compared with the committed list.

After a change that is meant, ``python tests/packaging/test_api_surface.py`` writes the list anew.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

SURFACE = Path(__file__).with_name("api_surface.json")
CORE = "tensormask_core"
MODULES = (
    CORE,
    f"{CORE}.assign",
    f"{CORE}.backend",
    f"{CORE}.errors",
    f"{CORE}.grid",
    f"{CORE}.masks",
    f"{CORE}.ops",
    f"{CORE}.plan",
    f"{CORE}.taps",
    f"{CORE}.testing",
    f"{CORE}.units",
    "tensormask_array_api",
    "tensormask_numpy",
    "tensormask_torch",
    "tensormask_torch.nn",
    "tensormask_zoo.data",
    "tensormask_zoo.models",
)
# How Python shows a function among the defaults, and an annotation of a named tuple.
ADDRESS = re.compile(r" at 0x[0-9a-f]+")
REFERENCE = re.compile(r"ForwardRef\(('[^']*')\)")


def surface(name: str) -> dict[str, Any]:
    """Return the public names of a module with what each can be called with."""
    module = import_module(name)
    return {public: described(getattr(module, public)) for public in public_names(module)}


def public_names(module: Any) -> list[str]:
    """Return `__all__` or, in its absence, the functions and classes defined here."""
    own = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    return sorted(getattr(module, "__all__", own))


def described(value: Any) -> Any:
    """Return a signature, for a class with those of its methods."""
    if inspect.isclass(value):
        return {"": signature(value)} | dict(sorted(members(value)))
    return signature(value) if inspect.isfunction(inspect.unwrap(value)) else "value"


def members(cls: type) -> Iterator[tuple[str, str]]:
    """Yield the public methods and properties that a class has from our own packages."""
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("tensormask_"):
            for name, value in vars(base).items():
                if not name.startswith("_") and callable(getattr(value, "__func__", value)):
                    yield name, signature(getattr(value, "__func__", value))
                elif not name.startswith("_"):
                    yield name, "property" if hasattr(value, "__get__") else "value"


def signature(value: Any) -> str:
    """Return how a thing is called, or what an exception is derived from."""
    if inspect.isclass(value) and issubclass(value, Exception):
        return f"exception {', '.join(base.__name__ for base in value.__bases__)}"
    shown = ADDRESS.sub("", str(inspect.signature(value)))
    return REFERENCE.sub(r"\1", shown)


def write() -> None:
    """Write the list anew."""
    document = {name: surface(name) for name in MODULES}
    SURFACE.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    write()
else:
    import pytest

    @pytest.mark.parametrize("name", MODULES)
    def test_the_public_names_are_the_committed_ones(name: str) -> None:
        if name.startswith(("tensormask_zoo", "tensormask_torch.")):
            pytest.importorskip("torch")
        assert surface(name) == json.loads(SURFACE.read_text())[name], (
            "if this change is meant: python tests/packaging/test_api_surface.py"
        )

    def test_no_module_is_listed_in_vain() -> None:
        assert sorted(json.loads(SURFACE.read_text())) == sorted(MODULES)
