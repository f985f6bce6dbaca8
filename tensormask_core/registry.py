"""Which backend serves which array: entry points, explicit registration, and a local choice.

Claims are data, not code: the entry-point group ``tensormask_core.backends`` maps a name to a
factory, the group ``tensormask_core.array_types`` maps a type such as ``torch.Tensor`` to the name
of its backend. So nothing is imported before an array of a type arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from tensormask_core.backend import Backend
from tensormask_core.errors import BackendAmbiguous, BackendUnavailable
from tensormask_core.tracing import constant_when_traced

BACKENDS = "tensormask_core.backends"
ARRAY_TYPES = "tensormask_core.array_types"
FALLBACK = "array_api"

BackendFactory = Callable[[], Backend[Any]]

_loaded: dict[str, Backend[Any]] = {}
_registered: dict[str, BackendFactory] = {}
_registered_types: dict[str, set[str]] = {}
_chosen: ContextVar[str | None] = ContextVar("tensormask_core.backend", default=None)


def available_backends() -> tuple[str, ...]:
    """Return the names of all installed backends, without importing any.

    Example:
        >>> "numpy" in available_backends()
        True
    """
    return tuple(sorted({*_registered, *(point.name for point in _points(BACKENDS))}))


def get_backend(name: str) -> Backend[Any]:
    """Return the backend of that name, loading its array library if need be.

    Raises:
        BackendUnavailable: there is no such backend, or its array library is not installed.
        BackendAmbiguous: two distributions offer a backend of that name.

    Example:
        >>> get_backend("numpy").name
        'numpy'
    """
    if name not in _loaded:
        _loaded[name] = _load(name)
    return _loaded[name]


def _load(name: str) -> Backend[Any]:
    try:
        return _factory(name)()
    except BackendUnavailable:
        raise
    except ImportError as error:
        raise BackendUnavailable(
            f"backend {name!r} needs a library that is not installed ({error}); "
            f"try: pip install 'tensormask-core[{name}]'"
        ) from error


def backend_of(array: object) -> Backend[Any]:
    """Return the backend that serves ``array``.

    The backend chosen by :func:`use_backend` comes first, then the one that claims the array's
    type, then the array-API fallback.

    Raises:
        TypeError: ``array`` is no array.
        BackendAmbiguous: two backends claim its type and none is chosen.

    Example:
        >>> import numpy as np
        >>> backend_of(np.zeros(3)).name
        'numpy'
    """
    return get_backend(_serving(type(array)))


@contextmanager
def use_backend(name: str) -> Iterator[Backend[Any]]:
    """Choose one backend for every array within the block, in this context only.

    A compiled graph keeps the backend that was chosen when it was traced.

    Example:
        >>> import numpy as np
        >>> with use_backend("array_api"):
        ...     backend_of(np.zeros(3)).name
        'array_api'
    """
    backend = get_backend(name)
    token = _chosen.set(name)
    try:
        yield backend
    finally:
        _chosen.reset(token)


def register_backend(
    name: str, factory: BackendFactory, *, array_types: tuple[str, ...] = ()
) -> None:
    """Register a backend of this process, for those that are not installed as a distribution.

    Args:
        name: what :func:`get_backend` and :func:`use_backend` shall know it by.
        factory: builds the backend; called once, when it is first needed.
        array_types: the types it claims, such as ``"torch.Tensor"``.

    Raises:
        BackendAmbiguous: the name is taken.
    """
    if name in available_backends():
        raise BackendAmbiguous(f"a backend named {name!r} exists already; choose another name")
    _registered[name] = factory
    for array_type in array_types:
        _registered_types.setdefault(array_type, set()).add(name)
    _name_for_type.cache_clear()


@constant_when_traced
def _serving(array_type: type) -> str:
    """Return the name of the backend, which is loaded then: a trace could neither read nor load."""
    name = _chosen.get() or _name_for_type(array_type)
    get_backend(name)
    return name


@cache
def _name_for_type(array_type: type) -> str:
    for base in array_type.__mro__:
        claims = _claims(f"{base.__module__}.{base.__qualname__}")
        if len(claims) > 1:
            raise BackendAmbiguous(
                f"{array_type.__module__}.{array_type.__qualname__} is claimed by the backends "
                f"{', '.join(claims)}; choose one with use_backend(name)"
            )
        if claims:
            return claims[0]
    if not _is_array_type(array_type):
        raise TypeError(
            f"expected an array (numpy, torch, JAX or another array-API library), got "
            f"{array_type.__module__}.{array_type.__qualname__}; convert it, e.g. numpy.asarray(x)"
        )
    return FALLBACK


def _claims(type_name: str) -> list[str]:
    return sorted(offers(ARRAY_TYPES, type_name).keys() | _registered_types.get(type_name, set()))


def _is_array_type(array_type: type) -> bool:
    # dask follows the standard by way of array-api-compat alone.
    return hasattr(array_type, "__array_namespace__") or array_type.__module__ == "dask.array.core"


def _factory(name: str) -> BackendFactory:
    if name in _registered:
        return _registered[name]
    points = offers(BACKENDS, name)
    if not points:
        raise BackendUnavailable(
            f"no backend {name!r}; installed are {', '.join(available_backends())}"
        )
    if len(points) > 1:
        raise BackendAmbiguous(
            f"backend {name!r} is offered by {', '.join(sorted(points))}; uninstall all but one"
        )
    (point,) = points.values()
    factory: BackendFactory = point.load()
    return factory


def offers(group: str, name: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group under a name, by what they point to."""
    return {point.value: point for point in _points(group) if point.name == name}


@cache
def _points(group: str) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=group))
