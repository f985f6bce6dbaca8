"""Import a published checkpoint: ``python reference/convert.py SOURCE TARGET``.

SOURCE is detectron2's ``.pkl`` or ``.pth``, or a ``.safetensors`` with the same names; it is read
without executing what is in it. TARGET becomes a folder with ``model.safetensors`` and
``config.json``, which ``tensormask_zoo.convert.load`` turns into a model.
"""

from __future__ import annotations

import argparse
import pickle
from dataclasses import asdict
from pathlib import Path

from tensormask_zoo.convert import convert


def main() -> None:
    """Import a checkpoint and print what it holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, metavar="SOURCE")
    parser.add_argument("target", type=Path, metavar="TARGET", help="folder to write")
    parser.add_argument(
        "--min-size", type=int, default=800, help="short side of images, px; 0 keeps their size"
    )
    parser.add_argument("--max-size", type=int, default=1333, help="longest side of images, px")
    parser.add_argument("--detections", type=int, default=100, help="kept per image at most")
    options = parser.parse_args()
    try:
        found, model = convert(
            options.source,
            options.target,
            min_size=options.min_size or None,
            max_size=options.max_size,
            detections_per_image=options.detections,
        )
    except (OSError, ValueError, pickle.UnpicklingError) as error:
        parser.exit(1, f"{options.source}: {error}\n")
    for name, value in asdict(found).items():
        print(f"{name:15} {value}")
    print(f"{'parameters':15} {sum(p.numel() for p in model.parameters()):,}")
    print(f"{'written to':15} {options.target}")


if __name__ == "__main__":
    main()
