"""Train a model of the zoo: ``train.py [--model NAME] [--config FILE] [--any.field VALUE]``.

Without arguments it trains a small TensorMask on generated images for three minutes. It ends with
the COCO table, an overlay of predictions beside ground truth and the learning curve.
"""

from __future__ import annotations

from pathlib import Path

from tensormask_zoo.command_line import build
from tensormask_zoo.report import report
from tensormask_zoo.runs import last_checkpoint


def main() -> None:
    """Train, evaluate and report."""
    cli = build()
    if cli.config.start and not cli.config.resume:
        cli.model.load_start(cli.config.start)
    cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=cli.config.resume, weights_only=True)
    run = Path(cli.trainer.log_dir or ".")  # of several processes, all must ask
    cli.trainer.save_checkpoint(last_checkpoint(run), weights_only=False)
    cli.trainer.limit_val_batches = 1.0  # all held-back images, however few were used on the way
    cli.trainer.validate(cli.model, cli.datamodule, verbose=False)
    if cli.trainer.is_global_zero:
        report(cli, run)


if __name__ == "__main__":
    main()
