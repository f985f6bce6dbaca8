"""Compare proposal systems: ``python reference/compare.py [--systems deepmask fastmask ...]``.

Trains the chosen systems on the data of a configuration of ``train.py`` with one budget each, or
loads them from runs. Prints one table with sliding windows, the untrained networks and the papers'
numbers, and draws recall curves. What a killed run has finished is not repeated; calls with other
``--seeds`` may run side by side, and the table is of all that is finished. Other fields of
``train.py`` are taken as they are, e.g. ``--data.root FOLDER``. A try on a CPU: ``--minutes 1
--images 20 --systems deepmask sharpmask``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tensormask_zoo.ablations.run import results_of
from tensormask_zoo.comparison.picture import save_pictures
from tensormask_zoo.comparison.run import Plan, compare
from tensormask_zoo.comparison.systems import SYSTEMS
from tensormask_zoo.comparison.table import write_table

MINUTES = 3.0  # of each system, on two cores


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, and print and write the table of all results."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--size", choices=("small", "published"), default="small")
    parser.add_argument(
        "--config", default="proposals_shapes", help="name in reference/configs, or a file"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--systems", nargs="+", default=list(SYSTEMS), metavar="SYSTEM", help=", ".join(SYSTEMS)
    )
    parser.add_argument(
        "--load", type=_pair, nargs="+", default=[], metavar="SYSTEM=RUN",
        help="take the weights of these systems from the folders of runs of train.py",
    )  # fmt: skip
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--iterations", type=int, help="of each training, instead of minutes")
    budget.add_argument("--minutes", type=float, default=MINUTES, help="of each training")
    parser.add_argument("--images", type=int, help="validation images to measure; default: all")
    parser.add_argument("--output", type=Path, default=Path("runs/comparison"))
    known, fields = parser.parse_known_args(arguments)
    plan = Plan(
        size=known.size,
        config=known.config,
        fields=tuple(fields),
        iterations=known.iterations,
        minutes=None if known.iterations else known.minutes,
        images=known.images,
    )
    compare(plan, known.systems, known.seeds, known.output, dict(known.load))
    results = results_of(known.output)
    table, numbers = write_table(results, known.output)
    print(table.read_text(encoding="utf-8"))
    for path in (table, numbers, *save_pictures(results, known.output)):
        print(path)


def _pair(text: str) -> tuple[str, str]:
    name, equals, run = text.partition("=")
    if not (name and equals and run):
        raise argparse.ArgumentTypeError(f"expected SYSTEM=RUN, got {text!r}")
    return name, run


if __name__ == "__main__":
    main()
