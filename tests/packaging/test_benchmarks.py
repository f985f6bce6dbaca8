"""Benchmarks: what their harness promises, and that every result keeps its schema."""

from __future__ import annotations

import copy
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tensormask_core.testing import require

jsonschema = pytest.importorskip("jsonschema")

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
RESULTS = sorted((BENCHMARKS / "results").glob("*.json"))
SCRIPTS = sorted(path.stem for path in BENCHMARKS.glob("bench_*.py"))
CUDA_TARGETS = ("80", "90", "100")
Load = Callable[[str], Any]


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    """Imports modules of the benchmarks, which are scripts beside each other."""
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def result(load: Load) -> dict[str, Any]:
    """A small result that keeps the schema: two contenders over three lam."""
    harness, results = load("_harness"), load("_results")
    contenders = [harness.Contender(name, list) for name in ("copy", "other")]
    rows = [
        row for lam in (1, 2, 4) for row in harness.compare({"lam": lam}, contenders, 3, ticks())
    ]
    options = results.parse_options("toy", "Is it so?", ["--quick"])
    made: dict[str, Any] = results.make_result(options, "Is it so?\n\nMore.", rows)
    return made


def ticks() -> Callable[[Callable[[], object]], float]:
    """A clock that counts up by one second a call, after it has made the call."""
    seconds = iter(range(1, 1000))

    def clock(call: Callable[[], object]) -> float:
        call()
        return float(next(seconds))

    return clock


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_committed_result_keeps_the_schema(path: Path, load: Load) -> None:
    result = json.loads(path.read_text())
    load("_results").check_result(result)
    assert not result["quick"], "toy sizes are no measurement"
    assert f"bench_{result['benchmark']}" in SCRIPTS


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_ratios_of_a_committed_result_are_to_its_baseline(path: Path) -> None:
    result = json.loads(path.read_text())
    medians = {
        json.dumps(row["case"]): row["seconds"]["median"]
        for row in result["rows"]
        if row["contender"] == result["baseline"]
    }
    for row in result["rows"]:
        expected = row["seconds"]["median"] / medians[json.dumps(row["case"])]
        assert row["ratio"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("date",), "yesterday"),
        (("device",), "tpu"),
        (("machine", "cpu"), None),
        (("machine", "versions"), {}),
        (("commit",), {"id": "unknown", "modified": False}),
        (("rows",), []),
        (("rows", 0, "ratio"), -1.0),
        (("rows", 0, "seconds", "repeats"), 0),
        (("rows", 0, "case"), {}),
        (("rows", 0, "note"), "unheard of"),
    ],
)
def test_the_schema_refuses(
    place: tuple[str | int, ...], value: object, result: dict[str, Any], load: Load
) -> None:
    check = load("_results").check_result
    check(result)
    broken: Any = copy.deepcopy(result)
    inner = broken
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        check(broken)


def test_a_result_reads_back_as_it_was_written(
    result: dict[str, Any], load: Load, tmp_path: Path
) -> None:
    load("_results").write_result(tmp_path / "toy.json", result)
    assert json.loads((tmp_path / "toy.json").read_text()) == result
    assert [path.name for path in tmp_path.iterdir()] == ["toy.json"]


def test_a_failed_write_leaves_the_old_result(
    result: dict[str, Any], load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = load("_results")
    path = tmp_path / "toy.json"
    path.write_text("old")
    monkeypatch.setattr("os.replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        results.write_result(path, result)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("toy.json", "old")]


def test_a_result_is_not_written_unless_it_keeps_the_schema(
    result: dict[str, Any], load: Load, tmp_path: Path
) -> None:
    with pytest.raises(jsonschema.ValidationError):
        load("_results").write_result(tmp_path / "toy.json", result | {"rows": []})
    assert not list(tmp_path.iterdir())


def test_contenders_take_turns_after_a_warm_up(load: Load) -> None:
    harness, calls = load("_harness"), list[str]()
    contenders = [harness.Contender(name, lambda name=name: calls.append(name)) for name in "abc"]
    harness.seconds_in_turns(contenders, 3, ticks())
    assert "".join(calls) == "abc" + "abc" + "bca" + "cab"


def test_a_slow_contender_takes_part_in_few_rounds_evenly(load: Load) -> None:
    harness = load("_harness")
    contenders = [harness.Contender("fast", list), harness.Contender("slow", list, repeats=3)]
    seconds = harness.seconds_in_turns(contenders, 9, ticks())
    assert len(seconds["fast"]) == 9
    assert len(seconds["slow"]) == 3
    assert np.diff(seconds["slow"]) == pytest.approx(4, abs=1)  # every third round


def test_a_contender_that_raises_fails_the_benchmark(load: Load) -> None:
    harness = load("_harness")
    contenders = [harness.Contender("copy", list), harness.Contender("broken", lambda: 1 / 0)]
    with pytest.raises(ZeroDivisionError):
        harness.compare({"lam": 1}, contenders, 3, ticks())


def test_rows_hold_quartiles_ratios_and_peaks(load: Load) -> None:
    harness = load("_harness")
    contenders = [harness.Contender("copy", list), harness.Contender("other", list)]
    copied, other = harness.compare({"lam": 1}, contenders, 3, ticks(), lambda call: len(call()))
    # Seconds 1, 4, 5 of the first and 2, 3, 6 of the second: they swap places every round.
    assert copied["seconds"] == {"q1": 2.5, "median": 4.0, "q3": 4.5, "repeats": 3}
    assert (copied["ratio"], other["ratio"]) == (1.0, 0.75)
    assert other["peak_bytes"] == 0


@pytest.mark.parametrize(("nbytes", "count"), [(1000, 2), (30, 7), (1, 100), (0, 100)])
def test_inputs_rotate_through_more_than_the_cache(nbytes: int, count: int, load: Load) -> None:
    assert load("_harness").rotation(int, nbytes, cache_bytes=100) == list(range(count))


def test_peak_memory_counts_what_any_library_allocates(load: Load) -> None:
    peak = load("_measure").host_peak_bytes
    size = 64 << 20
    assert peak(lambda: np.ones(size, np.uint8)) == pytest.approx(size, rel=0.1)
    assert peak(lambda: bool(np.ones(size, np.uint8).all())) == pytest.approx(size, rel=0.1)
    assert peak(lambda: None) < size / 10


@pytest.mark.parametrize("wrong", [np.ones(3), np.full(2, np.nan), np.array([1.0, 1.0001])])
def test_a_contender_that_disagrees_is_not_timed(wrong: Any, load: Load) -> None:
    check = load("_arrays").check_agreement
    check("right", np.ones(2) + 1e-7, np.ones(2), "float32")
    with pytest.raises(RuntimeError, match="wrong"):
        check("wrong", wrong, np.ones(2), "float32")


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_floor_copies_every_byte(
    threads: int, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(np, "empty_like", np.zeros_like)  # new memory may hold ones already
    copied = load("_arrays").copy_of(1001, "cpu", threads)()
    np.testing.assert_array_equal(copied, np.ones(1001, np.uint8))


def test_the_floor_holds_input_and_output(load: Load) -> None:
    make = load("_problem").Problem
    whole = make(lam=2, grid=(4, 6), window=(3, 5), dtype="float16")
    assert whole.floor_bytes == whole.nbytes == 3 * 5 * 4 * 6 * 2
    ragged = make(lam=2, grid=(3, 3), window=(1, 1), direction="adjoint")
    assert ragged.floor_bytes == (3 * 3 + 4 * 2 * 2) * 4 // 2


@pytest.mark.parametrize("direction", ["forward", "adjoint"])
@pytest.mark.parametrize("lam", [1, 2, 3])
def test_all_baselines_agree_with_the_reference(lam: int, direction: str, load: Load) -> None:
    require("numba"), require("torch")
    swap = load("_swap")
    problem = load("_problem").Problem(lam, (9, 12), direction, batch=2, window=(4, 5))
    found = swap.contenders(problem, swap.baselines("cpu"), few=1)
    names = [contender.name for contender in found]
    assert names == ["copy", "direct 16 taps", "torch indexing", "torch grid_sample", "numpy"]
    shapes = {tuple(contender.call().shape) for contender in found[1:]}
    assert len(shapes) == 1


@pytest.mark.parametrize("target", CUDA_TARGETS)
def test_the_direct_kernel_compiles_for_cuda(target: str, load: Load) -> None:
    require("cupy")
    nvrtc = importlib.import_module("cupy_backends.cuda.libs.nvrtc")
    program = nvrtc.createProgram(load("_direct_cuda").SOURCE, "direct.cu", [], [])
    nvrtc.compileProgram(program, [f"-arch=sm_{target}", "--std=c++17"])
    assert b".entry gather" in nvrtc.getPTX(program)


def test_cuda_without_a_device_says_so(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("here is a device")
    with pytest.raises(SystemExit):
        load("bench_transform").main(["--device", "cuda"])
    assert "needs a CUDA device" in capsys.readouterr().err


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_runs_at_toy_sizes(script: str, load: Load, tmp_path: Path) -> None:
    require("numba"), require("torch")
    path = tmp_path / "result.json"
    load(script).main(["--quick", "--output", str(path)])
    result = json.loads(path.read_text())
    load("_results").check_result(result)
    assert f"bench_{result['benchmark']}" == script


def test_a_quick_run_writes_nothing_unasked(load: Load) -> None:
    assert load("_results").parse_options("toy", "", ["--quick"]).output is None


def test_a_plot_has_every_contender_and_the_floor(
    result: dict[str, Any], load: Load, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    (path,) = load("plot").save(result, "toy", tmp_path)
    assert path.name == "toy_over_lam.svg"
    text = path.read_text()
    assert "copy" in text
    assert "other" in text


def test_a_plot_of_equal_results_is_the_same_file(
    result: dict[str, Any], load: Load, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    save = load("plot").save
    (first,) = save(result, "toy", tmp_path)
    text = first.read_text()
    (second,) = save(result, "toy", tmp_path)
    assert second.read_text() == text
