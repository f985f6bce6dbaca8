"""Weights from files of other projects, read as data: nothing in a file is ever executed."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

ELEMENTS = "fiub"  # kinds of numpy elements that weights may have: floats, integers, booleans


def read_state(source: str | Path | Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of a state dict by name, floating ones as float32.

    Args:
        source: names with torch or numpy arrays; or a file: ``.pkl`` as detectron2 publishes,
            ``.pth`` or ``.pt`` of torch, ``.safetensors``. All of it may lie under a key
            ``"model"``, as training programs save it.

    Raises:
        pickle.UnpicklingError: a pickle holds more than arrays and plain containers.
        ValueError: a file of another kind, or values that are no arrays.

    Example:
        >>> state = read_state({"model": {"bias": np.zeros(2, np.float16)}, "iteration": 9})
        >>> state["bias"].dtype
        torch.float32
    """
    content = source if isinstance(source, Mapping) else _read(Path(source))
    state = content["model"] if isinstance(content.get("model"), Mapping) else content
    return {name: _tensor(name, value) for name, value in state.items()}


def read_pickle(path: Path) -> Any:
    """Return the content of a pickle of numpy arrays and plain containers.

    Raises:
        pickle.UnpicklingError: it refers to anything else, which is named and not called.
    """
    with path.open("rb") as file:
        return _ArraysOnly(file, encoding="latin1").load()


def _read(path: Path) -> Mapping[str, Any]:
    if path.suffix not in READERS:
        raise ValueError(f"a checkpoint expects one of {', '.join(READERS)}, got {path}")
    content = READERS[path.suffix](path)
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} expects a mapping of names to arrays, got {type(content)}")
    return content


def _tensor(name: str, value: Any) -> Tensor:
    if isinstance(value, _Array):
        value = value.data
    if not isinstance(value, Tensor | np.ndarray):
        raise ValueError(
            f"a checkpoint expects an array at {name!r}, got {type(value).__name__}; "
            "hand over its state dict alone, or under the key 'model'"
        )
    if isinstance(value, np.ndarray):  # torch takes only this machine's byte order
        value = value.astype(value.dtype.newbyteorder("="))
    tensor = torch.as_tensor(value).detach()
    return tensor.float() if tensor.is_floating_point() else tensor


class _Array:
    """Stands for numpy.ndarray: takes its pickled state, without numpy's own unpickling code."""

    data: np.ndarray

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, by_columns, data = state
        self._fill(data, dtype, shape, "F" if by_columns else "C")

    def _fill(self, data: Any, dtype: _Dtype, shape: tuple[int, ...], order: Any) -> _Array:
        element = dtype.resolve()
        raw = data.encode("latin1") if isinstance(data, str) else data
        self.data = np.frombuffer(bytearray(raw), element).reshape(shape, order=order)
        return self


class _Dtype:
    """Stands for numpy.dtype: the code of a number, and its byte order."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code = code
        self.order: Any = "="

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]

    def resolve(self) -> np.dtype[Any]:
        """Return the number's type in its byte order."""
        dtype = np.dtype(self.code)
        if dtype.kind not in ELEMENTS:
            raise pickle.UnpicklingError(f"weights expect numbers, got elements {self.code!r}")
        return dtype.newbyteorder(self.order)


class _Call:
    """A function that a pickle may call, and can neither construct otherwise nor change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("this pickle changes a function; it is not read")


CALLS: dict[str, Callable[..., Any]] = {
    "ndarray": _Array,
    "dtype": _Dtype,
    "_reconstruct": lambda *_: _Array(),
    "_frombuffer": lambda data, dtype, shape, order: _Array()._fill(data, dtype, shape, order),
    "encode": lambda text, _: text.encode("latin1"),
    "bytes": lambda: b"",
    "OrderedDict": OrderedDict,
}
MODULES = {
    "numpy": ("ndarray", "dtype"),
    "numpy.core.multiarray": ("_reconstruct",),
    "numpy._core.multiarray": ("_reconstruct",),  # its name since numpy 2
    "numpy.core.numeric": ("_frombuffer",),
    "numpy._core.numeric": ("_frombuffer",),
    "_codecs": ("encode",),  # how old protocols write bytes, and
    "__builtin__": ("bytes",),  # no bytes
    "collections": ("OrderedDict",),
}


class _ArraysOnly(pickle.Unpickler):
    """Reads arrays and plain containers; everything else that a pickle asks for is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for ``module.name``."""
        if name not in MODULES.get(module, ()):
            raise pickle.UnpicklingError(
                f"this pickle asks for {module}.{name}, which may run code; only numpy arrays "
                "and plain containers are read"
            )
        return _Call(CALLS[name])

    def persistent_load(self, pid: Any) -> Any:
        """Refuse references out of the file."""
        raise pickle.UnpicklingError(f"this pickle refers to {pid!r} outside of it")


def _read_torch(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


READERS: dict[str, Callable[[Path], Any]] = {
    ".pkl": read_pickle,
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".safetensors": load_file,
}
