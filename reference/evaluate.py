"""Evaluate a run: ``python reference/evaluate.py RUN [--ceiling] [--any.field VALUE]``.

RUN is the folder that ``train.py`` printed; its configuration is used, fields can be overridden.
The precision that scores stand for is written to it, and used by the pictures of ``predict.py``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tensormask_zoo.command_line import build
from tensormask_zoo.report import ceiling, draw_overlay
from tensormask_zoo.runs import calibration_of, checkpoint_of, config_of


def main() -> None:
    """Print the COCO table of a run, and what true windows and targets would score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--ceiling", action="store_true", help="score true windows and targets")
    known, fields = parser.parse_known_args()
    # No run folder of its own, and all images, however few were used on the way.
    fields = ["--trainer.logger=false", "--trainer.limit_val_batches=1.0", *fields]
    cli = build(fields, config_of(known.run), save_config_callback=None)
    cli.trainer.validate(
        cli.model, cli.datamodule, checkpoint_of(known.run), verbose=False, weights_only=True
    )
    calibration = cli.model.evaluator.calibration()
    if not cli.trainer.is_global_zero:
        return
    print(f"\n{len(cli.datamodule.val_set)} images\n{cli.model.results()}")
    if known.ceiling:
        print(f"\nceiling (true windows and targets, pasted)\n{ceiling(cli)}")
    print(f"\ncalibrated scores: {calibration.write(calibration_of(known.run))}")
    print(f"overlay: {draw_overlay(cli, known.run / 'evaluation.png', calibration)}")


if __name__ == "__main__":
    main()
