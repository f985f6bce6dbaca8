"""The designs of the mask head that the paper compares (sections 4 and 5, Figures 6 and 7)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

from torch import Tensor

from tensormask_core import Aligned, Natural
from tensormask_core.plan import Border, Mode
from tensormask_core.units import Units
from tensormask_zoo.fpn import FINEST_STRIDE

Window = tuple[int, int]
Upsample = Literal["centred", "half_pixel"]


@dataclass(frozen=True)
class MaskVariant:
    """What tells the paper's mask heads apart.

    Attributes:
        representation: of the tensor that the head predicts.
        mode: how the coarse (V, U) are upscaled.
        upscales: whether the head may predict fewer cells than its masks have (lam > 1).
        bipyramid: whether every level predicts on the finest grid.
    """

    representation: type[Natural[Tensor]] | type[Aligned[Tensor]]
    mode: Mode = "bilinear"
    upscales: bool = False
    bipyramid: bool = False


MASK_HEADS: dict[str, MaskVariant] = {
    "simple_natural": MaskVariant(Natural),
    "simple_aligned": MaskVariant(Aligned),
    "upscale_natural": MaskVariant(Natural, upscales=True),
    "upscale_aligned": MaskVariant(Aligned, upscales=True),
    "upscale_aligned_nearest": MaskVariant(Aligned, "nearest", upscales=True),
    "bipyramid": MaskVariant(Aligned, bipyramid=True),
}
"""Figure 6 of the paper by name; "nearest" is its unaligned, InstanceFCN-like head (Table 2b)."""


@dataclass(frozen=True, kw_only=True)
class MaskDesign:
    """A mask head by name, with its numbers.

    Args:
        head: a name in :data:`MASK_HEADS`.
        lam: how many mask cells a predicted cell is long, for heads that upscale; may be a
            fraction such as 1.5.
        sigma_vu: length of a bipyramid's mask cell, px: the finest stride (4), or 2. A cell of
            2 px is finer than the finest level's grid; the trunk's stem map then joins the fusion.
        vu_border: "edge" continues a coarse cell beyond the window's border when it is upscaled;
            "pad" blends it towards the padding, as published.
        upsample: where the nodes of a level lie on the finest grid: "centred" at x * 2^k, as
            windows and convolutions have it; "half_pixel" at (x + 1/2) * 2^k - 1/2, as published.

    Raises:
        ValueError: an unknown head, or ``lam`` or ``sigma_vu`` that the head has not.

    Example:
        >>> MaskDesign(head="upscale_aligned", lam=1.5).coarse((15, 9))
        (10, 6)
    """

    head: str = "bipyramid"
    lam: float = 1.0
    sigma_vu: int = 4
    vu_border: Border = "edge"
    upsample: Upsample = "centred"

    def __post_init__(self) -> None:
        if self.head not in MASK_HEADS:
            raise ValueError(f"no mask head named {self.head!r}; there are {', '.join(MASK_HEADS)}")
        if self.lam != 1 and not self.variant.upscales:
            raise ValueError(f"{self.head} predicts every mask cell: lam expects 1, got {self.lam}")
        _check_word("vu_border", self.vu_border, get_args(Border))
        _check_word("upsample", self.upsample, get_args(Upsample))
        allowed = (FINEST_STRIDE, 2) if self.variant.bipyramid else (FINEST_STRIDE,)
        if self.sigma_vu not in allowed:
            raise ValueError(
                f"{self.head}: sigma_vu expects {' or '.join(map(str, allowed))} px, "
                f"got {self.sigma_vu}"
            )

    @property
    def variant(self) -> MaskVariant:
        """The head that the name stands for."""
        return MASK_HEADS[self.head]

    @property
    def finer(self) -> bool:
        """Whether mask cells are finer than the finest level's stride."""
        return self.sigma_vu < FINEST_STRIDE

    def coarse(self, window: Window) -> Window:
        """Return how many cells (V/lam, U/lam) are predicted for masks of ``window`` cells.

        Raises:
            ValueError: these numbers are not whole.
        """
        ratio = Fraction(self.lam).limit_denominator(1000)
        v, u = (side / ratio for side in window)
        if self.lam < 1 or v.denominator != 1 or u.denominator != 1:
            raise ValueError(
                f"lam expects at least 1 and V/lam, U/lam whole, got {self.lam} for {window}"
            )
        return int(v), int(u)

    def units(self, k: int) -> tuple[Units, Units]:
        """Return the units of what level ``k`` predicts, and of its natural masks, px."""
        stride = FINEST_STRIDE * 2**k
        if self.variant.bipyramid:
            return Units(stride, self.sigma_vu), Units(self.sigma_vu, stride)
        return Units(stride * self.lam, stride), Units(stride, stride)


def _check_word(name: str, value: str, words: tuple[str, ...]) -> None:
    if value not in words:
        expected = " or ".join(map(repr, sorted(words)))
        raise ValueError(f"{name} expects {expected}, got {value!r}")
