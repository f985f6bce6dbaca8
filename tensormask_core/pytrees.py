"""Mask tensors as pytrees, for torch and JAX where those are loaded already."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from typing import Any

from tensormask_core.tracing import constant_when_traced

# Classes with their flatten and unflatten functions; filled by the module that defines them.
Flatten = Callable[[Any], tuple[tuple[Any, ...], Hashable]]
Unflatten = Callable[[Hashable, Any], Any]

_nodes: list[tuple[type, Flatten, Unflatten]] = []
_done: set[str] = set()


def add_node(node: type, flatten: Flatten, unflatten: Unflatten) -> None:
    """Announce a class that jit, vmap and export shall look into."""
    _nodes.append((node, flatten, unflatten))


@constant_when_traced
def register_loaded_frameworks() -> None:
    """Register the announced classes with each framework that has been imported by now."""
    for framework, register in (("torch", _register_torch), ("jax", _register_jax)):
        if framework in sys.modules and framework not in _done:
            _done.add(framework)
            for node, flatten, unflatten in _nodes:
                register(node, flatten, unflatten)


def _register_torch(node: type, flatten: Flatten, unflatten: Unflatten) -> None:
    from torch.utils import _pytree  # noqa: PLC0415  (loaded only where torch is)

    def torch_flatten(value: Any) -> tuple[list[Any], Hashable]:
        children, context = flatten(value)
        return list(children), context

    _pytree.register_pytree_node(
        node,
        torch_flatten,
        lambda children, context: unflatten(context, children),
        serialized_type_name=f"tensormask_core.{node.__name__}",
        to_dumpable_context=list,
        from_dumpable_context=tuple,
    )


def _register_jax(node: type, flatten: Flatten, unflatten: Unflatten) -> None:
    from jax import tree_util  # noqa: PLC0415  (loaded only where JAX is)

    tree_util.register_pytree_node(node, flatten, unflatten)
