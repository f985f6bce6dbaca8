"""Arrays of a problem for every library, over the same memory, and the copy that is the floor."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
from _harness import rotating
from _machine import cache_bytes
from numpy.typing import NDArray

from tensormask_core.testing import TOLERANCES, to_numpy
from tensormask_core.testing.arrays import numpy_array

Values = NDArray[Any]


def random_array(shape: tuple[int, ...], dtype: str, device: str, seed: int) -> Any:
    """Return normal noise: a numpy array on the CPU, a torch tensor on CUDA."""
    if device == "cpu":
        noise = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
        return numpy_array(noise, dtype)
    torch = import_module("torch")
    generator = torch.Generator(device).manual_seed(seed)
    return torch.randn(shape, generator=generator, device=device).to(getattr(torch, dtype))


def view_as(library: str, array: Any) -> Any:
    """Return an array of :func:`random_array` as one of ``library``, without a copy."""
    if library == "cupy":
        return import_module("cupy").from_dlpack(array)
    if library == "torch" and isinstance(array, np.ndarray):
        return _as_tensor(array)
    return array


def first_image(array: Any) -> Values:
    """Return image 0 of an array of any library, in the dtype that references compute in."""
    dtype = str(array.dtype).rpartition(".")[2]
    return to_numpy(array[:1]).astype(np.float64 if dtype == "float64" else np.float32)


def check_agreement(
    name: str, actual: Values, expected: Values, dtype: str, slack: float = 1.0
) -> None:
    """Raise RuntimeError unless a contender does the work that it is timed for.

    Args:
        name: the contender.
        actual: its result.
        expected: the reference's result.
        dtype: what the contender computed with; its tolerance is the conformance suite's.
        slack: factor on the tolerance, for stock operations that are less exact.
    """
    if actual.shape != expected.shape:
        raise RuntimeError(f"{name} returns shape {actual.shape}, expected {expected.shape}")
    if not expected.size:
        return
    rtol, atol = TOLERANCES[dtype]
    limit = slack * (atol + rtol * float(np.abs(expected).max()))
    error = float(np.abs(actual - expected).max())
    if not error <= limit:  # so that NaN is an error
        raise RuntimeError(
            f"{name} is off by {error:.3g} from the reference, allowed is {limit:.3g}; "
            "its time would mean nothing"
        )


def copy_of(nbytes: int, device: str, threads: int) -> Callable[[], Any]:
    """Return a call that copies ``nbytes`` into new memory, as fast as the machine does."""
    if device == "cuda":
        torch = import_module("torch")

        def ones(_: int) -> Any:
            return torch.ones(nbytes, dtype=torch.uint8, device=device)

        tensors = rotating(ones, nbytes, cache_bytes(device))
        return lambda: next(tensors).clone()
    # Ones, since zeros may be pages that do not exist.
    arrays = rotating(lambda _: np.ones(nbytes, np.uint8), nbytes, cache_bytes(device))
    if threads == 1:
        return lambda: next(arrays).copy()
    return lambda: _copy_in_threads(next(arrays), threads)


def _copy_in_threads(x: Values, threads: int) -> Values:
    out = np.empty_like(x)
    bounds = [len(x) * part // threads for part in range(threads + 1)]
    parts = [slice(start, stop) for start, stop in pairwise(bounds)]
    # copyto releases the interpreter's lock.
    list(_pool(threads).map(lambda part: np.copyto(out[part], x[part]), parts))
    return out


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def _as_tensor(array: Values) -> Any:
    torch = import_module("torch")
    if array.dtype.name == "bfloat16":  # which torch does not know as a type of numpy
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)
