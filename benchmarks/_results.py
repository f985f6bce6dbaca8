"""Options, tables and result files, the same for every benchmark."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
from _harness import Row
from _machine import commit, machine_record
from _measure import Call, device_peak_bytes, device_seconds, host_peak_bytes, host_seconds

from tensormask_zoo.files import replacing

FOLDER = Path(__file__).parent / "results"
SCHEMA = Path(__file__).with_name("schema.json")


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for.

    Attributes:
        benchmark: the name of the benchmark, which names its file.
        repeats: timed calls of each contender.
        quick: toy sizes, to see that everything runs; no measurement.
        device: cpu or cuda.
        threads: the numbers of threads to measure with.
        output: the file to write, or None.
        sizes: (H, W) of the images, of scripts whose ``sizes`` can be chosen.
    """

    benchmark: str
    repeats: int
    quick: bool
    device: str
    threads: tuple[int, ...]
    output: Path | None
    sizes: tuple[tuple[int, int], ...] = ()

    @property
    def clock(self) -> Callable[[Call], float]:
        """The clock of the device."""
        return host_seconds if self.device == "cpu" else device_seconds

    @property
    def peak_bytes(self) -> Callable[[Call], int]:
        """The memory gauge of the device."""
        return host_peak_bytes if self.device == "cpu" else device_peak_bytes


def parse_options(
    benchmark: str,
    text: str | None,
    arguments: Sequence[str] | None,
    *,
    repeats: int = 15,
    devices: Sequence[str] = ("cpu",),
    threads: Sequence[int] = (1,),
    sizes: Sequence[tuple[int, int]] = (),
) -> Options:
    """Return the options; ``text`` is the script's docstring, the others are its defaults."""
    parser = argparse.ArgumentParser(description=text, allow_abbrev=False)
    parser.add_argument("--repeats", type=int, help=f"timed calls (default {repeats})")
    parser.add_argument("--quick", action="store_true", help="toy sizes, nothing is written")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, nargs="+", default=threads, metavar="COUNT")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    if sizes:
        parser.add_argument("--sizes", type=_size, nargs="+", default=sizes, metavar="HxW")
    found = parser.parse_args(arguments)
    if found.device not in devices:
        parser.error(f"bench_{benchmark}.py measures on {' and '.join(devices)} only")
    if found.device == "cuda":
        _require_device(parser)
    name = benchmark if found.device == "cpu" else f"{benchmark}_{found.device}"
    return Options(
        benchmark=benchmark,
        repeats=found.repeats or (2 if found.quick else repeats),
        quick=found.quick,
        device=found.device,
        threads=tuple(found.threads),
        output=found.output or (None if found.quick else FOLDER / f"{name}.json"),
        sizes=tuple(found.sizes) if sizes else (),
    )


def _size(text: str) -> tuple[int, int]:
    """Read "480x640"."""
    height, _, width = text.partition("x")
    return int(height), int(width)


def finish(options: Options, text: str | None, rows: Sequence[Row]) -> None:
    """Print the rows and write the result; ``text`` is the script's docstring."""
    print(table(rows))
    if options.output is None:
        print("not written: a quick run is no measurement; --output FILE keeps it")
        return
    write_result(options.output, make_result(options, text, rows))
    print(f"written to {options.output}")


def make_result(options: Options, text: str | None, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the content of a result file."""
    return {
        "benchmark": options.benchmark,
        "question": (text or "").partition("\n")[0],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "device": options.device,
        "quick": options.quick,
        "machine": machine_record(options.device),
        "baseline": rows[0]["contender"],
        "rows": list(rows),
    }


def check_result(result: Any) -> None:
    """Raise jsonschema.ValidationError unless ``result`` is what schema.json describes."""
    jsonschema.validate(result, json.loads(SCHEMA.read_text()))


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Check a result, then write the whole file or none."""
    check_result(result)
    with replacing(path) as beside:
        beside.write_text(as_text(result), encoding="utf-8")


def as_text(result: dict[str, Any]) -> str:
    """Return the JSON text of a result, one row a line."""
    head = json.dumps({**result, "rows": []}, indent=1, allow_nan=False)
    rows = ",\n".join(f"  {json.dumps(row, allow_nan=False)}" for row in result["rows"])
    return f"{head.removesuffix('[]' + chr(10) + '}')}[\n{rows}\n ]\n}}\n"


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text: what all cases share, then one line per contender of a case."""
    cases = [row["case"] for row in rows]
    names = dict.fromkeys(name for case in cases for name in case)
    varying = [name for name in names if len({case.get(name) for case in cases}) > 1]
    shared = [f"{name} {cases[0][name]}" for name in names if name not in varying]
    head = [*varying, "contender", "median", "quartiles", "ratio", "peak"]
    lines = [[*(str(row["case"].get(name, "")) for name in varying), *_cells(row)] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    text = [
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [head, *lines]
    ]
    return "\n".join([", ".join(shared), *text] if shared else text)


def _cells(row: Row) -> list[str]:
    q1, median, q3 = (1e3 * row["seconds"][name] for name in ("q1", "median", "q3"))
    peak = "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:.2f} MB"
    spread = f"{q1:.3g} - {q3:.3g} ms"
    return [row["contender"], f"{median:.3g} ms", spread, f"{row['ratio']:.4g}", peak]


def _require_device(parser: argparse.ArgumentParser) -> None:
    try:
        import torch  # noqa: PLC0415  (only where there is a device)
    except ImportError:
        parser.error("--device cuda needs torch: pip install 'tensormask-core[torch]'")
    if not torch.cuda.is_available():
        parser.error("--device cuda needs a CUDA device, and torch finds none; try --device cpu")
