"""How the arrays of a library are made from numpy's, and turned back."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tensormask_core.testing.case import Values

AsArray = Callable[[NDArray[Any], str], Any]
AsNumpy = Callable[[Any], Values]


def to_numpy(array: Any) -> Values:
    """Return a float64 copy of an array of any library, from any device.

    Example:
        >>> to_numpy(np.ones(2, np.float16))
        array([1., 1.])
    """
    if hasattr(array, "detach"):  # torch, which has a bfloat16 that numpy has not
        array = array.detach().cpu().double()
    elif hasattr(array, "get"):  # cupy
        array = array.get()
    return np.asarray(array).astype(np.float64)


def numpy_array(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return a numpy array of ``dtype``; bfloat16 comes from ml_dtypes."""
    if dtype == "bfloat16":
        from ml_dtypes import bfloat16  # noqa: PLC0415  (needed for this dtype alone)

        return values.astype(bfloat16)
    return values.astype(dtype)


def torch_array(values: NDArray[Any], dtype: str) -> Any:
    """Return a torch tensor on the CPU."""
    import torch  # noqa: PLC0415  (a framework)

    return torch.tensor(values, dtype=getattr(torch, dtype))


def jax_array(values: NDArray[Any], dtype: str) -> Any:
    """Return a JAX array on the default device."""
    from jax import numpy as jnp  # noqa: PLC0415  (a framework)

    # By way of numpy: JAX then narrows 64-bit types silently, as it does for its users.
    return jnp.asarray(numpy_array(values, dtype))


def strict_array(values: NDArray[Any], dtype: str) -> Any:
    """Return an array of array-api-strict."""
    import array_api_strict  # noqa: PLC0415  (a library of tests)

    return array_api_strict.asarray(numpy_array(values, dtype))


def cupy_array(values: NDArray[Any], dtype: str) -> Any:
    """Return a cupy array on the current device."""
    return import_module("cupy").asarray(numpy_array(values, dtype))


ARRAYS: dict[str, AsArray] = {
    "numpy": numpy_array,
    "torch": torch_array,
    "jax": jax_array,
    "array_api_strict": strict_array,
    "cupy": cupy_array,
}
"""By the name of a library, which is also that of its backend where it has one of its own."""
