"""Weights of other projects are read as data, in every form they come in; nothing in them runs."""

from __future__ import annotations

import builtins
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tensormask_zoo.checkpoint_files import read_state

STATE: dict[str, Tensor] = {
    "conv.weight": torch.arange(24.0).reshape(4, 3, 2),
    "conv.bias": torch.tensor([0.1, -0.2]),
    "empty": torch.zeros(0, 2),
    "scalar": torch.tensor(3.0),
    "count": torch.tensor([1, 2, 3]),
}


def as_numpy() -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in STATE.items()}


def write_pickle(content: Any, path: Path, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def same(state: dict[str, Tensor]) -> bool:
    return state.keys() == STATE.keys() and all(
        torch.equal(state[name], value) and state[name].dtype == value.dtype
        for name, value in STATE.items()
    )


@pytest.mark.parametrize("protocol", range(6))
def test_the_published_pickle_is_read_in_every_protocol(tmp_path: Path, protocol: int) -> None:
    arrays: dict[str, Any] = as_numpy()
    arrays["conv.weight"] = np.asfortranarray(arrays["conv.weight"]).astype(">f8")
    content = {"model": arrays, "__author__": "detectron2", "matching_heuristics": True}
    assert same(read_state(write_pickle(content, tmp_path / "model.pkl", protocol)))


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", ["pth", "safetensors", "numpy"])
def test_other_files_and_state_dicts_are_read(tmp_path: Path, kind: str, nested: bool) -> None:
    source: Any = tmp_path / f"model.{kind}"
    if kind == "numpy":
        source = {"model": as_numpy()} if nested else as_numpy()
    elif kind == "pth":
        torch.save({"model": STATE, "iteration": 5} if nested else STATE, source)
    else:
        save_file(STATE, source)
    assert same(read_state(source))


def test_half_precision_becomes_single() -> None:
    assert read_state({"a": torch.ones(2).half()})["a"].dtype == torch.float32


class Attack:
    """Calls what it is given when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    ("function", "name"),
    [(exec, "exec"), (getattr, "getattr"), (open, "open"), (np.load, "numpy.load")],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_malicious_pickle_is_refused_by_name_and_does_not_run(
    tmp_path: Path, function: Callable[..., Any], name: str, protocol: int
) -> None:
    mark = tmp_path / "ran"
    argument = f"open({str(mark)!r}, 'w')" if function is exec else str(mark)
    content = {"model": {"head.bias": Attack(function, argument, *["w"] * (function is open))}}
    path = write_pickle(content, tmp_path / "model.pkl", protocol)
    with pytest.raises(pickle.UnpicklingError, match=name):
        read_state(path)
    assert not mark.exists()


def test_a_malicious_file_of_torch_is_refused_and_does_not_run(tmp_path: Path) -> None:
    mark, path = tmp_path / "ran", tmp_path / "model.pth"
    torch.save({"model": {"head.bias": Attack(open, str(mark), "w")}}, path)
    with pytest.raises(pickle.UnpicklingError):
        read_state(path)
    assert not mark.exists()


def test_a_malicious_pickle_would_run_elsewhere(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    pickle.loads(pickle.dumps(Attack(builtins.open, str(mark), "w"))).close()
    assert mark.exists()


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    path = write_pickle({"head.bias": np.array([{}, 1], object)}, tmp_path / "model.pkl")
    with pytest.raises(pickle.UnpicklingError, match="expect numbers"):
        read_state(path)


def test_a_pickle_cannot_change_what_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"cnumpy.core.multiarray\n_reconstruct\n}b.")  # a function and its new state
    with pytest.raises(pickle.UnpicklingError, match="changes a function"):
        read_state(path)


@pytest.mark.parametrize(
    ("source", "message"),
    [("model.onnx", r"one of \.pkl, \.pth"), ({"a": "text"}, "array at 'a', got str")],
)
def test_what_is_no_checkpoint_is_refused(source: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_state(source)
