"""Where training patches lie: canonical positives, their jitter, and negatives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from tensormask_core.grid_level import check_positive

Box = Sequence[float]
Rng = torch.Generator | None
"""A generator on the CPU, or None for torch's own."""

STEPS = 4  # scales per octave in the released code
LEAST_OCTAVES, MOST_OCTAVES = -2.0, 3.0  # magnification of negatives in the released code
RELATED_STEPS = 10  # its objects keep negatives away over this many scales
SHORTEST_PX = 1.0  # objects no longer than this have no scale to speak of


@dataclass(frozen=True)
class Placement:
    """Where a patch lies in its image.

    Attributes:
        y: row of its centre, px.
        x: column of its centre, px.
        octaves: a patch pixel is ``2 ** octaves`` image pixels.
    """

    y: float
    x: float
    octaves: float


@dataclass(frozen=True, kw_only=True)
class PatchRule:
    """How training patches are drawn. The defaults are the released code's, of the better AR.

    All lengths are pixels of the patch. A patch is canonical for an object whose longer side is
    ``object_px`` and whose centre is the patch's. A positive for masks is canonical up to
    ``shift_px`` along each axis and ``octaves`` in scale. What is scored differs:

    - "code": positives lie exactly on the object, at the next scale of four per octave that
      shows it larger than canonical; negatives are points of one of 21 scales, 48 px or more
      from all objects up to 2.5 octaves away. The distance is that of points in images of
      different scales, and in the last of 100 tries nothing is asked.
    - "paper": positives are those of masks; negatives are points ``negative_shift_px`` or more
      from every canonical patch, or ``negative_octaves`` or more from its scale. Where they are
      drawn from is not published; here as in the code.

    Attributes:
        patch_px: side of the window that the network judges, W.
        context_px: image content beyond it on each side, for the borders of deep trunks.
        object_px: longer side of a canonical object.
        shift_px: largest shift of a positive.
        octaves: largest deviation of its scale.
        scores: the rule for patches that train the score.
        negative_shift_px: distance from which a patch is negative.
        negative_octaves: deviation in scale from which it is; of "paper" only.
        tries: how often a negative is drawn at most.
        flip: probability of a mirrored patch.
        fill: value in [0, 1] of image pixels outside the image.
        least_area_px2: objects smaller than this in the image have no mask patches.
        least_side_px: the same for either side of the box.
        crowds_score: whether crowds are positives of the score, as the released code has it.

    Raises:
        UnitError: a length is not positive and finite.
        ValueError: an unknown rule.
    """

    patch_px: int = 160
    context_px: int = 16
    object_px: float = 92  # 160 * 128 / 224, rounded up
    shift_px: float = 16
    octaves: float = 0.25
    scores: Literal["code", "paper"] = "code"
    negative_shift_px: float = 48
    negative_octaves: float = 1
    tries: int = 100
    flip: float = 0.5
    fill: float = 0.5
    least_area_px2: float = 100
    least_side_px: float = 5
    crowds_score: bool = False

    def __post_init__(self) -> None:
        check_positive("patch_px", self.patch_px)
        check_positive("object_px", self.object_px)
        if self.scores not in ("code", "paper"):
            raise ValueError(f"scores expects 'code' or 'paper', got {self.scores!r}")
        if self.tries < 1:
            raise ValueError(f"tries expects at least 1, got {self.tries}")

    @classmethod
    def paper(cls) -> PatchRule:
        """Return the rule of the original DeepMask: 224 px patches without context."""
        return cls(
            patch_px=224, context_px=0, object_px=128, scores="paper", negative_shift_px=32
        )  # fmt: skip

    @property
    def side_px(self) -> int:
        """Side of a patch with its context."""
        return self.patch_px + 2 * self.context_px


def mask_placement(box: Box, rule: PatchRule, rng: Rng = None) -> Placement:
    """Return a jittered canonical placement for an object's box XYXY px.

    Example:
        >>> still = PatchRule(shift_px=0, octaves=0)
        >>> mask_placement([100, 50, 284, 90], still)
        Placement(y=70.0, x=192.0, octaves=1.0)
    """
    still = _canonical(box, rule)
    octaves = still.octaves + _uniform(-rule.octaves, rule.octaves, rng)
    reach = rule.shift_px * 2**octaves
    y, x = (centre + _uniform(-reach, reach, rng) for centre in (still.y, still.x))
    return Placement(y, x, octaves)


def positive_placement(boxes: Sequence[Box], rule: PatchRule, rng: Rng = None) -> Placement:
    """Return a placement that trains the score as positive, for one of some objects.

    Example:
        >>> positive_placement([[100, 50, 285, 90]], PatchRule())  # 185 px are 92.5 of the patch
        Placement(y=70.0, x=192.5, octaves=1.0)
    """
    if rule.scores == "paper":
        return mask_placement(boxes[_below(len(boxes), rng)], rule, rng)
    placed = [quantised(box, rule) for box in boxes]
    scales = sorted({place.octaves for place in placed})
    chosen = scales[_below(len(scales), rng)]
    there = [place for place in placed if place.octaves == chosen]
    return there[_below(len(there), rng)]


def negative_placement(
    boxes: Sequence[Box], image_size: tuple[int, int], rule: PatchRule, rng: Rng = None
) -> Placement:
    """Return a placement that trains the score as negative, away from all objects."""
    scales = round((MOST_OCTAVES - LEAST_OCTAVES) * STEPS) + 1
    place_of, near = (
        (quantised, _near_in_code) if rule.scores == "code" else (_canonical, _near_in_paper)
    )
    objects = [place_of(box, rule) for box in boxes]
    for _ in range(rule.tries):
        octaves = LEAST_OCTAVES + _below(scales, rng) / STEPS
        y, x = (_uniform(0, side, rng) for side in image_size)
        found = Placement(y, x, octaves)
        if not any(near(found, place, rule) for place in objects):
            break
    return found


def quantised(box: Box, rule: PatchRule) -> Placement:
    """Return the placement at the scale that the released code stores an object under.

    Of four scales per octave the one that shows the object larger than canonical, by at most a
    quarter of an octave: in (92, 109.4] px.
    """
    exact = _canonical(box, rule)
    return replace(exact, octaves=(math.ceil(STEPS * exact.octaves) - 1) / STEPS)


def has_scale(box: Box) -> bool:
    """Whether a box is long enough to be canonical somewhere."""
    return max(box[2] - box[0], box[3] - box[1]) > SHORTEST_PX


def _canonical(box: Box, rule: PatchRule) -> Placement:
    """Return the placement that shows an object in the middle at its canonical size."""
    x0, y0, x1, y1 = (float(side) for side in box)
    longest = max(x1 - x0, y1 - y0)
    return Placement((y0 + y1) / 2, (x0 + x1) / 2, math.log2(longest / rule.object_px))


def _near_in_paper(found: Placement, place: Placement, rule: PatchRule) -> bool:
    """Whether a patch is close to a canonical one both in place and in scale."""
    apart = math.hypot(found.y - place.y, found.x - place.x) / 2**place.octaves
    return (
        apart < rule.negative_shift_px
        and abs(found.octaves - place.octaves) < rule.negative_octaves
    )


def _near_in_code(found: Placement, place: Placement, rule: PatchRule) -> bool:
    """Whether the released code rejects a negative because of an object."""
    if abs(found.octaves - place.octaves) * STEPS > RELATED_STEPS:
        return False
    rows = found.y / 2**found.octaves - place.y / 2**place.octaves
    columns = found.x / 2**found.octaves - place.x / 2**place.octaves
    return math.hypot(rows, columns) < rule.negative_shift_px


def _uniform(low: float, high: float, rng: Rng) -> float:
    return low + (high - low) * float(torch.rand((), generator=rng))


def _below(count: int, rng: Rng) -> int:
    return int(torch.randint(count, (), generator=rng))
