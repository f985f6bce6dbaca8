"""Run the paper's ablations: ``python reference/ablations.py [--protocol joint] [--seeds 0 1 2]``.

Trains the rows of the TensorMask paper's tables on the data of a configuration of ``train.py``, and
writes one table beside the paper's numbers, with a picture. "joint" trains all rows on one trunk,
for the price of about one run; "single" trains each row by itself. What a killed run has finished
is not repeated. Other fields of ``train.py`` are taken as they are, e.g. ``--data.root FOLDER``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tensormask_zoo.ablations.grid import ROWS, TABLES
from tensormask_zoo.ablations.plot import save_bars
from tensormask_zoo.ablations.run import Plan, results_of, run
from tensormask_zoo.ablations.table import Grid, write_table

ITERATIONS = 1000  # on 128 x 128 px, all rows together: twelve minutes on two cores


def main() -> None:
    """Run what is missing and write the table of all results."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--protocol", choices=("joint", "single"), default="joint")
    parser.add_argument(
        "--config", default="ablations/shapes", help="name in reference/configs, or a file"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--rows", nargs="+", default=list(ROWS), metavar="ROW",
        help=f'"tables" for those that the paper has numbers of, or any of {", ".join(ROWS)}',
    )  # fmt: skip
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--iterations", type=int, default=ITERATIONS, help="of each training")
    budget.add_argument("--minutes", type=float, help="of each training, instead")
    parser.add_argument(
        "--sizes", type=float, nargs=2, metavar="PX",
        help="objects below the first number squared are small, from the second squared on large",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, default=Path("runs/ablations"))
    known, fields = parser.parse_known_args()
    plan = Plan(
        protocol=known.protocol,
        config=known.config,
        rows=TABLES if known.rows == ["tables"] else tuple(known.rows),
        fields=tuple(fields),
        iterations=None if known.minutes else known.iterations,
        minutes=known.minutes,
        sizes_px=tuple(known.sizes) if known.sizes else None,
    )
    run(plan, known.seeds, known.output)
    results = results_of(known.output)
    for path in (
        *write_table(results, known.output),
        save_bars(Grid(results), known.output / "bars.png"),
    ):
        print(path)


if __name__ == "__main__":
    main()
