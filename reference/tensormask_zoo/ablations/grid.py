"""The grid of the paper's tables as data: what is trained, and which line of which table it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tensormask_zoo.tensormask.postprocess import NmsBoxes

Settings = Mapping[str, Any]

LAMS = (1.5, 3, 5)  # all divide a window of 15 cells

BASE: Settings = {
    "windows": [[15, 15]],
    "head": "bipyramid",
    "sigma_vu": 4,
    "vu_border": "edge",
    "upsample": "centred",
    "mask_targets": "coverage",
    "rule": {"ambiguous": "nearest", "centrality_unit": "level"},
}
"""What rows share: the paper's window and cells, with the corrections of the released code."""

PUBLISHED: Settings = {
    "vu_border": "pad",
    "upsample": "half_pixel",
    "mask_targets": "detectron2",
    "rule": {"ambiguous": "negative", "centrality_unit": "level"},
}

ROWS: dict[str, Settings] = {
    "simple_natural": {"head": "simple_natural"},
    "simple_aligned": {"head": "simple_aligned"},
    **{
        f"{head}_{lam:g}": {"head": head, "lam": lam}
        for head in ("upscale_natural", "upscale_aligned", "upscale_aligned_nearest")
        for lam in LAMS
    },
    "bipyramid": {},
    "two_sizes": {"windows": [[11, 11], [15, 15]]},
    "no_box_head": {"box_head": False},
    "cells_2px": {"sigma_vu": 2},
    "border_padded": {"vu_border": "pad"},
    "nodes_drift": {"upsample": "half_pixel"},
    "binary_targets": {"mask_targets": "binary"},
    "ambiguous_negative": {"rule": {"ambiguous": "negative", "centrality_unit": "level"}},
    "centrality_4px": {"rule": {"ambiguous": "nearest", "centrality_unit": 4.0}},
    "as_published": PUBLISHED,
}
"""What differs from `BASE`, by name."""

READINGS: dict[str, tuple[str, NmsBoxes]] = {"mask_box_nms": ("bipyramid", "mask_boxes")}
"""Rows that have another row's weights: that row, and the boxes that NMS compares (A.4)."""

FEATURE_PYRAMID = tuple(name for name in ROWS if name.startswith(("simple", "upscale")))


@dataclass(frozen=True)
class Line:
    """A line of a table of the paper.

    Attributes:
        table: its number, or "corrections".
        name: as in the paper.
        row: a key of :data:`ROWS` or :data:`READINGS`.
        paper: AP, AP50, AP75 and, where printed, those of small, medium and large objects.
    """

    table: str
    name: str
    row: str
    paper: tuple[float, ...] = ()


@dataclass(frozen=True)
class Contrast:
    """A difference of two rows, within each seed.

    Attributes:
        table: as in :class:`Line`.
        name: what it shows.
        row: the row that should be better.
        than: the rows of which the best in that metric is subtracted.
        metric: "AP" or "APL".
        paper: the difference in the paper, if it has one.
    """

    table: str
    name: str
    row: str
    than: tuple[str, ...]
    metric: str = "AP"
    paper: float | None = None


SIMPLE_NATURAL = (28.5, 52.2, 28.6, 14.4, 30.2, 40.1)
SIMPLE_ALIGNED = (28.9, 52.5, 29.3, 14.6, 30.8, 40.7)
BIPYRAMID = (34.0, 55.2, 35.8, 15.3, 36.3, 48.4)
TWO_SIZES = (35.2, 56.4, 37.0, 17.4, 37.4, 49.7)
UPSCALED = {  # Tables 2a and 2b: natural, aligned bilinear, aligned nearest
    1.5: ((28.0, 51.7, 27.8), (28.9, 52.4, 29.3), (28.6, 52.1, 29.0)),
    3: ((24.7, 48.4, 22.7), (28.8, 52.3, 29.1), (27.8, 51.0, 28.0)),
    5: ((19.2, 42.1, 15.6), (28.4, 51.8, 28.6), (25.3, 47.6, 25.0)),
}


def _upscaled() -> list[Line]:
    """Return the lines of Tables 2a and 2b."""
    lines = []
    for lam, (natural, aligned, nearest) in UPSCALED.items():
        bilinear = f"upscale_aligned_{lam:g}"
        lines += [
            Line("2a", f"natural, λ = {lam:g}", f"upscale_natural_{lam:g}", natural),
            Line("2a", f"aligned, λ = {lam:g}", bilinear, aligned),
            Line("2b", f"nearest, λ = {lam:g}", f"upscale_aligned_nearest_{lam:g}", nearest),
            Line("2b", f"bilinear, λ = {lam:g}", bilinear, aligned),
        ]
    return sorted(lines, key=lambda line: line.table)


LINES: tuple[Line, ...] = (
    Line("1", "simple, natural", "simple_natural", SIMPLE_NATURAL),
    Line("1", "simple, aligned", "simple_aligned", SIMPLE_ALIGNED),
    *_upscaled(),
    Line("2c", "feature pyramid, best", "simple_aligned", SIMPLE_ALIGNED),
    Line("2c", "tensor bipyramid", "bipyramid", BIPYRAMID),
    Line("2d", "15 × 15", "bipyramid", BIPYRAMID),
    Line("2d", "15 × 15 and 11 × 11", "two_sizes", TWO_SIZES),
    Line("A.4", "box head, NMS on boxes", "bipyramid", (35.2, 56.4, 37.0)),
    Line("A.4", "box head, NMS on mask boxes", "mask_box_nms", (34.9, 56.0, 36.7)),
    Line("A.4", "no box head, NMS on mask boxes", "no_box_head", (34.8, 56.1, 36.7)),
    Line("corrections", "bipyramid, all corrections", "bipyramid"),
    Line("corrections", "mask cells of 2 px", "cells_2px"),
    Line("corrections", "window border blended with padding", "border_padded"),
    Line("corrections", "nodes half a pixel off", "nodes_drift"),
    Line("corrections", "binary mask targets", "binary_targets"),
    Line("corrections", "ambiguous windows negative", "ambiguous_negative"),
    Line("corrections", "centrality in mask cells (paper)", "centrality_4px"),
    Line("corrections", "none: as released", "as_published"),
)

TABLES = tuple(row for row in ROWS if any(line.row == row and line.paper for line in LINES))
"""Rows that the paper has numbers of: two thirds of the time of all."""


def _of_bipyramid() -> list[Contrast]:
    """Return what each correction is worth."""
    names = {line.row: line.name for line in LINES if line.table == "corrections"}
    del names["bipyramid"]
    finer = Contrast("corrections", names.pop("cells_2px"), "cells_2px", ("bipyramid",))
    rest = [Contrast("corrections", f"without: {n}", "bipyramid", (v,)) for v, n in names.items()]
    return [finer, *rest]


CONTRASTS: tuple[Contrast, ...] = (
    Contrast("1", "aligned - natural", "simple_aligned", ("simple_natural",), paper=0.4),
    *(
        Contrast(
            "2a", f"λ = {lam:g}: aligned - natural",
            f"upscale_aligned_{lam:g}", (f"upscale_natural_{lam:g}",), paper=difference,
        )
        for lam, difference in zip(LAMS, (0.9, 4.1, 9.2), strict=True)
    ),
    *(
        Contrast(
            "2b", f"λ = {lam:g}: bilinear - nearest",
            f"upscale_aligned_{lam:g}", (f"upscale_aligned_nearest_{lam:g}",), paper=difference,
        )
        for lam, difference in zip(LAMS, (0.3, 1.0, 3.1), strict=True)
    ),
    Contrast("2c", "bipyramid - best feature pyramid", "bipyramid", FEATURE_PYRAMID, paper=5.1),
    Contrast(
        "2c", "bipyramid - best feature pyramid", "bipyramid", FEATURE_PYRAMID, "APL", paper=7.7
    ),
    Contrast("2d", "two window sizes - one", "two_sizes", ("bipyramid",), paper=1.2),
    Contrast("A.4", "NMS on boxes - on mask boxes", "bipyramid", ("mask_box_nms",), paper=0.3),
    Contrast("A.4", "box head - none", "bipyramid", ("no_box_head",), paper=0.4),
    *_of_bipyramid(),
)  # fmt: skip
