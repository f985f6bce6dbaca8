"""Evaluate a run: ``evaluate.py RUN [--untrained] [--ceiling] [--export FOLDER] [--field VALUE]``.

RUN is the folder that ``train.py`` printed; its configuration is used, fields can be overridden.
The precision that scores stand for is written to it, and used by the pictures of ``predict.py``.
Proposal systems have average recall and its curves instead; ``--model.evaluate_as proposals`` shows
those of other models, too. ``--untrained`` shows what the network found before its first step, and
leaves the files of the run as they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from tensormask_zoo.command_line import ZooCLI, build
from tensormask_zoo.report import draw_overlay, draw_recall, export_proposals, reference
from tensormask_zoo.runs import calibration_of, checkpoint_of, config_of


def main() -> None:
    """Print the table of a run, and what true windows and targets would score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--untrained", action="store_true", help="take the network as initialised")
    parser.add_argument("--ceiling", action="store_true", help="score true windows and targets")
    parser.add_argument("--export", type=Path, help="folder for all proposals as COCO results")
    known, fields = parser.parse_known_args()
    # No run folder of its own, and all images, however few were used on the way.
    fields = ["--trainer.logger=false", "--trainer.limit_val_batches=1.0", *fields]
    cli = build(fields, config_of(known.run), save_config_callback=None)
    weights = None if known.untrained else checkpoint_of(known.run)
    cli.trainer.validate(cli.model, cli.datamodule, weights, verbose=False, weights_only=True)
    if not cli.trainer.is_global_zero:
        return
    print(f"\n{len(cli.model.evaluator)} images\n{cli.model.results()}")
    if known.ceiling:
        print(f"\n{reference(cli)}")
    if not known.untrained:
        for line in FINDINGS[cli.model.results_are](cli, known.run):
            print(line)
    if known.export:
        print(f"proposals: {len(export_proposals(cli, known.export))} files in {known.export}")


def detections(cli: ZooCLI, run: Path) -> Iterator[str]:
    """Yield where calibrated scores and the overlay are."""
    calibration = cli.model.evaluator.calibration()
    yield f"\ncalibrated scores: {calibration.write(calibration_of(run))}"
    yield f"overlay: {draw_overlay(cli, run / 'evaluation.png', calibration)}"


def proposals(cli: ZooCLI, run: Path) -> Iterator[str]:
    """Yield where the recall curves and the overlay are."""
    yield f"\nrecall curves: {draw_recall(cli, run / 'recall.png')}"
    yield f"overlay: {draw_overlay(cli, run / 'evaluation.png')}"


FINDINGS = {"detections": detections, "proposals": proposals}


if __name__ == "__main__":
    main()
