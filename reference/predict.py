"""Detect objects in pictures: ``python reference/predict.py --run RUN IMAGE [IMAGE ...]``.

Writes an overlay PNG per picture and one ``predictions.json`` of COCO results. Pictures that cannot
be read are named at the end, and the exit status is 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tensormask_zoo.predict import predict_files


def main() -> None:
    """Run a trained model on pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    parser.add_argument("--run", type=Path, required=True, help="folder of a run of train.py")
    parser.add_argument("--output", type=Path, default=Path("predictions"), help="folder to write")
    score = "lowest score in the pictures: 0.5, or a precision of 0.6 once evaluate.py has run"
    parser.add_argument("--score", type=float, default=None, help=score)
    options = parser.parse_args()
    try:
        for path in predict_files(options.run, options.images, options.output, options.score):
            print(path)
    except OSError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
